//! Parses the command line; help and errors in German.

use std::process::ExitCode;

use clap::{
    Arg, ArgAction, Command, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use crate::args::Cli;

/// The command with German frame texts; also what completions are made from.
pub(crate) fn command() -> Command {
    let command = Cli::command().disable_version_flag(true).arg(
        Arg::new("version")
            .short('V')
            .long("version")
            .action(ArgAction::Version)
            .help("Version ausgeben")
            .help_heading(GENERAL),
    );
    german(command, "")
}

/// The command line as types, or what to end with.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
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
            eprintln!("Hilfe: registry --help, oder registry BEFEHL --help");
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
            command = command.mut_arg(id, |arg| arg.help_heading(heading));
        }
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

fn usage_line(command: &Command, path: &str) -> String {
    let mut line = format!("{path} [OPTIONEN]");
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
                    Some(why) => format!("{found:?} passt nicht zu {arg}: {why}."),
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

fn plain(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(all) => all.join(", "),
        other => other.to_string(),
    }
}

const GENERAL: &str = "Allgemein";
/// Exit code of a wrong call.
const USAGE: u8 = 2;
