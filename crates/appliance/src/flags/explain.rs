//! Turns clap's errors into one message that names flag, value and what is allowed.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::FlagError;
use crate::config::{nearest, without_user};

/// Words in a flag's name that announce a secret.
const SECRET_WORDS: [&str; 5] = ["token", "secret", "pass", "pwd", "credential"];

/// One message for an error of `command`, which found it. Fits any command of the program.
///
/// The value of an unknown flag is never part of it, since it may be a secret.
pub fn explain(error: &clap::Error, command: &clap::Command) -> FlagError {
    let context = |kind| error.get(kind).map(words).unwrap_or_default();
    let flag = context(ContextKind::InvalidArg);
    // `--total-shards <TOTAL>`: the flag alone names it.
    let name = flag.split([' ', '=', '[']).next().unwrap_or_default();
    FlagError(match error.kind() {
        ErrorKind::UnknownArgument if name.starts_with('-') => unknown(name, command),
        ErrorKind::UnknownArgument => format!(
            "unexpected argument `{}`; allowed: flags such as `--local-files-prefix PATH`",
            shown(&flag)
        ),
        ErrorKind::InvalidSubcommand => {
            let given = context(ContextKind::InvalidSubcommand);
            let known = command.get_subcommands().map(|sub| sub.get_name().to_owned());
            match nearest(&given, known) {
                Some(near) => {
                    format!("unknown command `{}`; did you mean `{near}`?", shown(&given))
                }
                None => format!("unknown command `{}`; `--help` lists them", shown(&given)),
            }
        }
        ErrorKind::ArgumentConflict => {
            let other = context(ContextKind::PriorArg);
            let other = other.split([' ', '=', '[']).next().unwrap_or_default();
            if other.is_empty() || other == name {
                format!("`{name}` is given more than once; allowed: once")
            } else {
                format!("`{name}` and `{other}` are both given; allowed: one of the two")
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = context(ContextKind::InvalidArg);
            format!("`{}` is missing; it goes with what is given", missing.replace(", ", "`, `"))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::NoEquals => {
            let value = context(ContextKind::InvalidValue);
            let allowed = std::error::Error::source(error).map(ToString::to_string);
            let allowed = allowed.or_else(|| {
                let values = context(ContextKind::ValidValue);
                (!values.is_empty()).then(|| format!("`{}`", values.replace(", ", "`, `")))
            });
            match allowed {
                Some(allowed) if value.is_empty() => {
                    format!("`{name}` is empty; allowed: {allowed}")
                }
                Some(allowed) => {
                    format!("`{name}` is `{}`; allowed: {allowed}", shown(&without_user(&value)))
                }
                None => format!("`{name}` has no value; write `{name} VALUE` or `{name}=VALUE`"),
            }
        }
        ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("`{name}` has the wrong number of values; allowed: `{name}=VALUE`")
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".into(),
        _ => error.kind().to_string(),
    })
}

fn unknown(name: &str, command: &clap::Command) -> String {
    let known: Vec<String> =
        command.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
    if let Some(near) = nearest(name, known) {
        return format!("unknown flag `{}`; did you mean `{near}`?", shown(name));
    }
    let lower = name.to_ascii_lowercase();
    if SECRET_WORDS.iter().any(|word| lower.contains(word)) {
        return format!(
            "unknown flag `{}`; secrets are not accepted on the command line, where every user \
             of the machine can read them; allowed: the environment variables \
             `REINFER_API_TOKEN` and `REINFER_EWS_AUTH_PASS`, or either with `_FILE`",
            shown(name)
        );
    }
    format!("unknown flag `{}`; `--help` lists the flags", shown(name))
}

fn words(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        other => other.to_string(),
    }
}

/// `text` on one line of bounded length.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(120).flat_map(escaped).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}

fn escaped(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}
