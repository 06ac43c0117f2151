//! Whether an audit log is what it was.
//!
//! The chain alone shows clumsy changes only: whoever changes a line can make all hashes after it
//! anew. The anchors in the log of the Land show that too, because they are signed and partners
//! hold them. Lines after the last anchor can be changed or cut without a trace.

use std::path::PathBuf;

use registry_proto::log::Hash;

use crate::audit::{
    anchors::Anchor,
    files::{FileError, Lines, RawLine, chain_of},
    line::{Line, LineError},
};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the chain, as the first line says.
    pub chain: Option<[u8; 16]>,
    /// Number of the first line here; what was before is not here.
    pub first: u64,
    /// Intact lines.
    pub lines: u64,
    /// Time of the last of them.
    pub until: String,
    /// Parts in which each line fits the one before; one if all is well.
    pub runs: Vec<Run>,
    /// Where it does not, in order; the first twenty.
    pub breaks: Vec<Break>,
    /// Anchors that name another hash of a line that is here.
    pub contradicted: Vec<Anchor>,
    /// Anchors of lines that are not here.
    pub missing: Vec<Anchor>,
    /// The newest anchor of each other chain of this node.
    pub foreign: Vec<Anchor>,
    /// The last line has no newline: it is being written, or a crash cut it.
    pub unfinished: bool,
}

/// Lines that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of the first.
    pub from: u64,
    /// Number behind the last.
    pub to: u64,
    /// The last anchor that fits: it proves the lines up to its size.
    pub anchor: Option<Anchor>,
    hash: Hash,
}

/// A line that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// File it stands in.
    pub file: PathBuf,
    /// Its number there, from 1.
    pub number: u64,
    /// The number in the log that stood here.
    pub expected: u64,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The line itself.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Another number: lines are missing, doubled or in another order.
    #[error("trägt die Nummer {0}: Zeilen fehlen, sind doppelt oder vertauscht")]
    Number(u64),
    /// Another hash of the line before.
    #[error("nennt einen anderen Hash ihrer Vorgängerin: diese wurde ausgetauscht")]
    Before,
    /// The file does not begin as files do.
    #[error("beginnt die Datei nicht, wie ihr Name und die Kette es verlangen")]
    File,
}

/// All in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Everything fits, and nothing is missing that an anchor names.
    Intact,
    /// What is here fits; but anchors name lines that are not here.
    Incomplete,
    /// Something does not fit.
    Broken,
}

// === impl Verdict ===

impl Verdict {
    /// All in one word.
    pub fn judgement(&self) -> Judgement {
        if !self.breaks.is_empty() || !self.contradicted.is_empty() {
            Judgement::Broken
        } else if !self.missing.is_empty() || !self.foreign.is_empty() || self.first > 0 {
            Judgement::Incomplete
        } else {
            Judgement::Intact
        }
    }

    /// Takes the next line.
    fn take(&mut self, raw: &RawLine, broken: &mut u64) {
        let expected = self.runs.last().map_or(0, |it| it.to) + *broken;
        let (line, hash) = match Line::parse(&raw.text) {
            Ok(parsed) => parsed,
            // it is being written, or a crash cut it
            Err(_) if !raw.ended => {
                self.unfinished = true;
                return;
            }
            Err(why) => {
                *broken += 1;
                self.note(raw, expected, why.into());
                return;
            }
        };
        let is_first = self.runs.is_empty() && *broken == 0;
        if is_first {
            self.first = line.seq;
        }
        let mut why = None;
        if !is_first && line.seq != expected {
            why = Some(Why::Number(line.seq));
        } else if let Some(run) = self.runs.last().filter(|_| *broken == 0)
            && line.prev != run.hash.to_string()
        {
            why = Some(Why::Before);
        } else if raw.begins.is_some_and(|first| first != line.seq) || !self.belongs(raw, &line) {
            why = Some(Why::File);
        }
        if let Some(why) = why {
            self.note(raw, expected, why);
        }
        self.lines += 1;
        self.until.clone_from(&line.time);
        match self.runs.last_mut().filter(|_| why.is_none() && *broken == 0) {
            Some(run) => (run.to, run.hash) = (line.seq + 1, hash),
            None => {
                self.runs.push(Run { from: line.seq, to: line.seq + 1, anchor: None, hash });
            }
        }
        *broken = 0;
    }

    /// Whether the first line of a file names the chain; the first of all does so for the others.
    fn belongs(&mut self, raw: &RawLine, line: &Line) -> bool {
        if raw.begins.is_none() {
            return true;
        }
        let chain = chain_of(line);
        if self.chain.is_none() {
            self.chain = chain;
        }
        chain.is_some() && chain == self.chain
    }

    fn note(&mut self, raw: &RawLine, expected: u64, why: Why) {
        if self.breaks.len() < BREAKS_MAX {
            let (file, number) = (raw.file.clone(), raw.number);
            self.breaks.push(Break { file, number, expected, why });
        }
    }

    /// Compares the last line with the anchors of it.
    fn compare(&mut self, of_line: &[&Anchor]) {
        let Some(run) = self.runs.last_mut() else { return };
        for anchor in of_line {
            if anchor.hash == run.hash {
                run.anchor = Some((*anchor).clone());
            } else if self.contradicted.len() < BREAKS_MAX {
                self.contradicted.push((*anchor).clone());
            }
        }
    }
}

/// Reads all lines and holds them against the anchors.
///
/// # Errors
///
/// A file cannot be read; what stands in it wrongly is part of the verdict.
pub fn verify(lines: &mut Lines, anchors: &[Anchor]) -> Result<Verdict, FileError> {
    let mut verdict = Verdict::default();
    let mut broken = 0;
    let mut sorted: Vec<&Anchor> = anchors.iter().collect();
    sorted.sort_by_key(|it| it.size);
    let mut met = vec![false; sorted.len()];
    while let Some(raw) = lines.next_line()? {
        let before = verdict.lines;
        verdict.take(&raw, &mut broken);
        let Some(run) = verdict.runs.last().filter(|_| verdict.lines > before) else { continue };
        let from = sorted.partition_point(|it| it.size < run.to);
        let to = sorted.partition_point(|it| it.size <= run.to);
        let of_line: Vec<&Anchor> =
            sorted[from..to].iter().filter(|it| verdict.chain == Some(it.chain)).copied().collect();
        met[from..to].fill(true);
        verdict.compare(&of_line);
    }
    for (anchor, met) in sorted.into_iter().zip(met) {
        if verdict.chain != Some(anchor.chain) {
            let known = verdict.foreign.iter_mut().find(|it| it.chain == anchor.chain);
            match known {
                Some(known) => known.clone_from(anchor),
                None => verdict.foreign.push(anchor.clone()),
            }
        } else if !met {
            verdict.missing.push(anchor.clone());
        }
    }
    Ok(verdict)
}

/// Breaks that are listed.
const BREAKS_MAX: usize = 20;
