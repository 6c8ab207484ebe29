//! The program `reinfer-ews`: `tributary appliance` under the name that existing manifests use.

fn main() -> std::process::ExitCode {
    cli::reinfer_ews()
}
