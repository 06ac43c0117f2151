//! The policy file: rules about who may do what.
//!
//! Read at the start and again when it changes (`certificates::Keeper`); one that cannot be used
//! changes nothing. What the rules decide stands in `registry_core::authorize`.

mod read;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use registry_core::authorize::{Role, Rule};

use crate::tls::{self, MaterialError};

/// Where the rules of a node come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Those of the configuration, under `[[clients]]`.
    pub clients: Vec<Rule>,
    /// The policy file, if there is one.
    pub file: Option<PathBuf>,
    /// Whether a second person must confirm what rules allow that do not say so themselves.
    pub four_eyes: bool,
}

/// Everything that is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file.
    pub path: PathBuf,
    /// At least one, in the order of the file.
    pub problems: Vec<PolicyProblem>,
}

/// One thing that is wrong. German: operators read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProblem {
    /// Line, counted from 1; 0 if it is about the whole file.
    pub line: usize,
    /// `rules[1].san`; empty if it is about the whole file.
    pub key: String,
    /// What is wrong and what is expected.
    pub reason: String,
}

// === impl Rules ===

impl Rules {
    /// All rules: those of the configuration, then those of the file as it is now.
    ///
    /// # Errors
    ///
    /// The file cannot be read or used.
    pub fn read(&self) -> Result<Vec<Rule>, PolicyError> {
        let mut rules = self.clients.clone();
        let publishes = |it: &&mut Rule| it.role == Some(Role::Publisher);
        rules.iter_mut().filter(publishes).for_each(|it| it.four_eyes = self.four_eyes);
        if let Some(path) = &self.file {
            rules.extend(read_policy(path, self.four_eyes)?);
        }
        Ok(rules)
    }
}

/// Reads a policy file; `four_eyes` counts for rules that say nothing of it.
///
/// # Errors
///
/// All problems at once.
pub fn read_policy(path: &Path, four_eyes: bool) -> Result<Vec<Rule>, PolicyError> {
    let failed = |reason: String| PolicyError {
        path: path.to_owned(),
        problems: vec![PolicyProblem { line: 0, key: String::new(), reason }],
    };
    let bytes = tls::read(path, POLICY_BYTES_MAX).map_err(|error| match error {
        MaterialError::Read { source, .. } => failed(unreadable(&source)),
        _ => failed(format!("hat mehr als {POLICY_BYTES_MAX} Bytes")),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| failed("ist kein UTF-8-Text".to_owned()))?;
    read::rules(&text, four_eyes)
        .map_err(|problems| PolicyError { path: path.to_owned(), problems })
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "gibt es nicht".to_owned(),
        io::ErrorKind::PermissionDenied => "darf nicht gelesen werden".to_owned(),
        _ => format!("lässt sich nicht lesen ({error})"),
    }
}

// === impl PolicyError ===

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Richtlinie {} ist nicht verwendbar", self.path.display())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for PolicyError {}

// === impl PolicyProblem ===

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.key.as_str()) {
            (0, _) => f.write_str(&self.reason),
            (line, "") => write!(f, "Zeile {line}: {}", self.reason),
            (line, key) => write!(f, "Zeile {line}, {key}: {}", self.reason),
        }
    }
}

/// Bytes of a policy file.
const POLICY_BYTES_MAX: u64 = 1 << 20;
