//! The program `tributary`.

fn main() -> std::process::ExitCode {
    cli::tributary()
}
