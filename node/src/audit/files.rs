//! The files of an audit log: `<first line, 20 digits>.jsonl`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use registry_core::limits::AUDIT_LINE_BYTES_MAX;
use registry_proto::log::Hash;

use crate::audit::line::{Line, LineError};

/// A file or the directory of the audit log cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {operation} failed", .path.display())]
pub struct FileError {
    /// What was tried.
    pub operation: &'static str,
    /// With what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The raw lines of all files, in order. Reads as it goes.
#[derive(Debug)]
pub struct Lines {
    files: std::vec::IntoIter<(u64, PathBuf)>,
    open: Option<(PathBuf, u64, BufReader<File>)>,
    last: Option<PathBuf>,
}

/// A raw line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine {
    /// File it stands in.
    pub file: PathBuf,
    /// Its number there, from 1.
    pub number: u64,
    /// Number of the first line of the file by its name, if this is its first line.
    pub begins: Option<u64>,
    /// The line without its newline; what is longer than a line is cut, what is no text is
    /// replaced.
    pub text: String,
    /// False for the last line of the last file if it has no newline: it may still be written.
    pub ended: bool,
}

/// Where a file goes on.
#[derive(Debug)]
pub(super) struct Tail {
    /// Its last intact line.
    pub(super) line: Line,
    pub(super) hash: Hash,
    /// The chain that the first line of the file says it belongs to.
    pub(super) chain: [u8; 16],
    /// Bytes up to the end of that line.
    pub(super) bytes: u64,
}

// === impl FileError ===

impl FileError {
    pub(super) fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { operation, path, source }
    }
}

// === impl Lines ===

impl Lines {
    /// The lines in a directory; none if there is no directory.
    ///
    /// # Errors
    ///
    /// The directory cannot be listed.
    pub fn of(dir: &Path) -> Result<Self, FileError> {
        let files = list(dir)?;
        let last = files.last().map(|(_, path)| path.clone());
        Ok(Self { files: files.into_iter(), open: None, last })
    }

    /// The next line.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn next_line(&mut self) -> Result<Option<RawLine>, FileError> {
        loop {
            let (path, number, reader) = match &mut self.open {
                Some(open) => open,
                none => {
                    let Some((_, path)) = self.files.next() else { return Ok(None) };
                    let file = File::open(&path).map_err(FileError::at("opening", &path))?;
                    none.insert((path, 0, BufReader::new(file)))
                }
            };
            let read = read_line(reader).map_err(FileError::at("reading", path))?;
            let Some((text, ended)) = read else {
                self.open = None;
                continue;
            };
            *number += 1;
            let begins = (*number == 1).then(|| first_of(path)).flatten();
            let ended = ended || self.last.as_ref() != Some(path);
            return Ok(Some(RawLine { file: path.clone(), number: *number, begins, text, ended }));
        }
    }
}

/// Files of a directory with the number of their first line, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, FileError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::at("listing", dir))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(FileError::at("listing", dir))?.path();
        if let Some(first) = first_of(&path) {
            files.push((first, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Name of the file that begins with the line `first`.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

fn first_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    let plain = digits.len() == 20 && digits.bytes().all(|it| it.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// The intact lines a file begins with; none if there is not one. Lines of newer software are an
/// error: to write behind them would hide them.
pub(super) fn tail(path: &Path) -> Result<Option<Tail>, FileError> {
    let file = File::open(path).map_err(FileError::at("opening", path))?;
    let mut reader = BufReader::new(file);
    let mut tail: Option<Tail> = None;
    let mut bytes = 0;
    while let Some((text, ended)) =
        read_line(&mut reader).map_err(FileError::at("reading", path))?
    {
        bytes += text.len() as u64 + 1;
        let (line, hash) = match Line::parse(&text) {
            Ok(parsed) => parsed,
            Err(newer @ LineError::Version(_)) => {
                return Err(FileError::at("reading", path)(io::Error::other(newer)));
            }
            Err(_) => break,
        };
        let fits = tail.as_ref().is_none_or(|before| {
            line.seq == before.line.seq + 1 && line.prev == before.hash.to_string()
        });
        let Some(chain) = tail.as_ref().map_or_else(|| chain_of(&line), |it| Some(it.chain)) else {
            break;
        };
        if !ended || !fits {
            break;
        }
        tail = Some(Tail { line, hash, chain, bytes });
    }
    Ok(tail)
}

/// The chain that the first line of a file names.
pub(super) fn chain_of(line: &Line) -> Option<[u8; 16]> {
    let mut chain = [0; 16];
    let first = line.act == BEGIN || line.act == CONTINUE;
    (first && hex::decode_to_slice(&line.object, &mut chain).is_ok()).then_some(chain)
}

/// Moves what of a file lies behind its first `keep` bytes aside; says where to and how much.
pub(super) fn set_aside(path: &Path, keep: u64) -> Result<Option<(PathBuf, u64)>, FileError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let mut file = file.map_err(FileError::at("opening", path))?;
    let length = file.metadata().map_err(FileError::at("reading", path))?.len();
    if length <= keep {
        if length == 0 {
            fs::remove_file(path).map_err(FileError::at("removing", path))?;
        }
        return Ok(None);
    }
    let aside = (0..).map(|n| path.with_extension(format!("cut-{keep}-{n}")));
    let Some(aside) = aside.into_iter().find(|it| !it.exists()) else { return Ok(None) };
    let mut copy = File::create_new(&aside).map_err(FileError::at("creating", &aside))?;
    file.seek(io::SeekFrom::Start(keep)).map_err(FileError::at("reading", path))?;
    let bytes = io::copy(&mut file, &mut copy).map_err(FileError::at("copying", &aside))?;
    copy.sync_all().map_err(FileError::at("syncing", &aside))?;
    if keep == 0 {
        fs::remove_file(path).map_err(FileError::at("removing", path))?;
    } else {
        file.set_len(keep).map_err(FileError::at("cutting", path))?;
        file.sync_all().map_err(FileError::at("syncing", path))?;
    }
    Ok(Some((aside, bytes)))
}

/// Reads a line; of one that is too long only so much that it is seen to be. Whether it ended
/// with a newline.
fn read_line(reader: &mut BufReader<File>) -> io::Result<Option<(String, bool)>> {
    let mut bytes = Vec::new();
    let max = AUDIT_LINE_BYTES_MAX as u64 + 2;
    let read = reader.by_ref().take(max).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    let mut ended = bytes.pop_if(|it| *it == b'\n').is_some();
    if !ended && read as u64 == max {
        ended = reader.skip_until(b'\n').is_ok();
    }
    // what is no UTF-8 is no line either; the replacement shows it
    Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), ended)))
}

/// The first line of the first file; its object names the chain.
pub(super) const BEGIN: &str = "audit.begin";
/// The first line of each other file.
pub(super) const CONTINUE: &str = "audit.continue";
