//! Command lines made with clap, with help and errors in German.

use std::process::ExitCode;

use clap::{
    Arg, ArgAction, Command, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

/// The command with German frame texts; also what completions are made from.
pub fn command<T: CommandFactory>() -> Command {
    let command = T::command().disable_version_flag(true).arg(
        Arg::new("version")
            .short('V')
            .long("version")
            .action(ArgAction::Version)
            .help("Version ausgeben")
            .help_heading(GENERAL),
    );
    german(command, "")
}

/// The command line of this process as types.
///
/// # Errors
///
/// The code to end with: what there is to say about a wrong call, or the help that was asked for,
/// is printed.
pub fn parse<T: CommandFactory + FromArgMatches>() -> Result<T, ExitCode> {
    let command = command::<T>();
    let name = command.get_name().to_owned();
    let parsed = command.try_get_matches().and_then(|matches| T::from_arg_matches(&matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // a closed pipe is no failure of the help
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(USAGE)
        }
        _ => {
            eprintln!("Fehler: {}", sentence(&error));
            eprintln!("Hilfe: {name} --help, oder {name} BEFEHL --help");
            ExitCode::from(USAGE)
        }
    })
}

fn german(mut command: Command, parent: &str) -> Command {
    let path = format!("{parent}{} ", command.get_name());
    let usage = usage_line(&command, path.trim_end());
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| german(sub, &path));
    }
    let names: Vec<_> = command
        .get_arguments()
        .map(|arg| (arg.get_id().clone(), arg.is_positional(), arg.get_help_heading().is_some()))
        .collect();
    for (id, positional, has_heading) in names {
        if !has_heading {
            let heading = if positional { "Argumente" } else { "Optionen" };
            command = command.mut_arg(&id, |arg| arg.help_heading(heading));
        }
        command = command.mut_arg(id, explained);
    }
    command
        .help_template("{about}\n\nAufruf: {usage}\n\n{all-args}{after-help}")
        .override_usage(usage)
        .subcommand_help_heading("Befehle")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help("Hilfe ausgeben")
                .help_heading(GENERAL),
        )
}

/// Says in German what clap would add to the help of an argument in English.
fn explained(mut arg: Arg) -> Arg {
    let mut more = Vec::new();
    if arg.get_action().takes_values() {
        let values = arg.get_possible_values();
        let values: Vec<_> =
            values.iter().filter(|it| !it.is_hide_set()).map(|it| it.get_name()).collect();
        if !arg.is_hide_possible_values_set() && !values.is_empty() {
            more.push(format!("[erlaubt: {}]", values.join(", ")));
        }
        let defaults = arg.get_default_values().iter().map(|it| it.to_string_lossy());
        let defaults: Vec<_> = defaults.collect();
        if !arg.is_hide_default_value_set() && !defaults.is_empty() {
            more.push(format!("[Vorgabe: {}]", defaults.join(" ")));
        }
        arg = arg.hide_possible_values(true).hide_default_value(true);
    }
    if let Some(name) = arg.get_env().map(ToOwned::to_owned) {
        if !arg.is_hide_env_set() {
            more.push(format!("[Umgebungsvariable: {}]", name.to_string_lossy()));
        }
        arg = arg.hide_env(true);
    }
    if more.is_empty() {
        return arg;
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.help(format!("{help} {}", more.join(" ")).trim().to_owned())
}

fn usage_line(command: &Command, path: &str) -> String {
    let mut line = path.to_owned();
    if command.get_opts().next().is_some() || command.has_subcommands() {
        line.push_str(" [OPTIONEN]");
    }
    if command.has_subcommands() {
        line.push_str(" <BEFEHL>");
        return line;
    }
    for arg in command.get_opts().filter(|arg| arg.is_required_set()) {
        line.push_str(&format!(" --{} <{}>", arg.get_long().unwrap_or_default(), value(arg)));
    }
    for arg in command.get_positionals() {
        let many = if matches!(arg.get_action(), ArgAction::Append) { "…" } else { "" };
        line.push_str(&format!(" <{}>{many}", value(arg)));
    }
    line
}

fn value(arg: &Arg) -> String {
    arg.get_value_names()
        .and_then(|names| names.first())
        .map_or_else(String::new, |n| n.to_string())
}

/// The error in one German sentence, with what clap suggests.
fn sentence(error: &Error) -> String {
    let text = |kind| error.get(kind).map_or_else(String::new, plain);
    let arg = text(ContextKind::InvalidArg);
    let mut sentence = match error.kind() {
        ErrorKind::UnknownArgument => format!("{arg} ist hier nicht bekannt."),
        ErrorKind::InvalidSubcommand => {
            format!("den Befehl {} gibt es nicht.", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => "es fehlt ein Befehl.".to_owned(),
        ErrorKind::MissingRequiredArgument => format!("es fehlt {arg}."),
        ErrorKind::ArgumentConflict => {
            let prior = text(ContextKind::PriorArg);
            if prior.is_empty() {
                format!("{arg} darf nur einmal stehen.")
            } else {
                format!("{arg} und {prior} schließen sich aus.")
            }
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let found = text(ContextKind::InvalidValue);
            if found.is_empty() {
                format!("{arg} braucht einen Wert.")
            } else {
                let why = std::error::Error::source(error).map(ToString::to_string);
                let valid = text(ContextKind::ValidValue);
                match why {
                    _ if !valid.is_empty() => {
                        format!("{found:?} passt nicht zu {arg}; erlaubt: {valid}.")
                    }
                    Some(why) => {
                        format!("{found:?} passt nicht zu {arg}: {}.", cause(&why))
                    }
                    None => format!("{found:?} passt nicht zu {arg}."),
                }
            }
        }
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            format!("{arg} hat die falsche Anzahl von Werten.")
        }
        ErrorKind::NoEquals => format!("{arg} braucht ein Gleichheitszeichen."),
        ErrorKind::InvalidUtf8 => "der Aufruf enthält Zeichen, die kein UTF-8 sind.".to_owned(),
        _ => error.to_string().trim_start_matches("error: ").trim_end().to_owned(),
    };
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        let suggested = text(kind);
        if !suggested.is_empty() {
            sentence.push_str(&format!(" Meinten Sie {suggested}?"));
        }
    }
    sentence
}

/// What clap and the standard library say of a value, in German; other texts stay as they are.
fn cause(why: &str) -> String {
    if let Some((_, range)) = why.split_once(" is not in ") {
        let range = range.trim_end_matches("..").trim_start_matches("..=");
        return match range.split_once("..=") {
            Some((from, to)) => format!("erwartet {from} bis {to}"),
            None => format!("erwartet eine Zahl im Bereich {range}"),
        };
    }
    match why {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "erwartet eine ganze Zahl".to_owned()
        }
        "number too large to fit in target type" => "die Zahl ist zu groß".to_owned(),
        "number too small to fit in target type" => "die Zahl ist zu klein".to_owned(),
        _ => match why.split_once(" is no Land; expected one of ") {
            Some((_, known)) => format!("so heißt kein Land; bekannt sind {known}"),
            None => why.to_owned(),
        },
    }
}

fn plain(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(all) => all.join(", "),
        other => other.to_string(),
    }
}

const GENERAL: &str = "Allgemein";
/// Exit code of a wrong call.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Probe
    #[derive(Debug, Parser)]
    #[command(name = "probe", version = "1.0.0")]
    struct Probe {
        /// Wie lange
        #[arg(long, value_name = "STUNDEN", default_value_t = 7,
              value_parser = clap::value_parser!(u64).range(1..=168))]
        hours: u64,
        /// Für wen
        #[arg(long, value_name = "LAND")]
        land: Option<registry_proto::terms::Land>,
        /// Wie
        #[arg(long, value_name = "ART", value_parser = ["a", "b"], env = "PROBE_ART")]
        kind: Option<String>,
    }

    fn refused(args: &[&str]) -> String {
        let args = ["probe"].iter().chain(args);
        sentence(&command::<Probe>().try_get_matches_from(args).expect_err("a wrong call"))
    }

    #[test]
    fn wrong_values_are_explained_in_german() {
        for (args, expected) in [
            (["--hours", "0"], "\"0\" passt nicht zu --hours <STUNDEN>: erwartet 1 bis 168."),
            (["--hours", "x"], "\"x\" passt nicht zu --hours <STUNDEN>: erwartet eine ganze Zahl."),
            (["--kind", "c"], "\"c\" passt nicht zu --kind <ART>; erlaubt: a, b."),
            (["--nix", "c"], "--nix ist hier nicht bekannt."),
        ] {
            assert_eq!(refused(&args), expected);
        }
        let land = refused(&["--land", "XX"]);
        assert!(land.contains("so heißt kein Land; bekannt sind BB BE"), "{land}");
    }

    #[test]
    fn no_word_of_the_help_is_that_of_clap() {
        let help = command::<Probe>().render_help().to_string();
        for word in ["Aufruf:", "Optionen", "[Vorgabe: 7]", "[erlaubt: a, b]", "PROBE_ART]"] {
            assert!(help.contains(word), "{word}\n{help}");
        }
        for word in ["Usage", "Options", "default", "possible", "env:", "Print help"] {
            assert!(!help.contains(word), "{word}\n{help}");
        }
    }
}
