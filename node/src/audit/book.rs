//! The audit log as its one writer has it: appends lines, begins files, syncs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use registry_core::{audit::AuditHead, limits::AUDIT_SEGMENT_BYTES};
use registry_proto::log::Hash;
use tracing::warn;

use crate::audit::{
    Act,
    files::{self, BEGIN, CONTINUE, FileError},
    line::Line,
};

/// An audit log that is written.
#[derive(Debug)]
pub(super) struct Book {
    dir: PathBuf,
    file: Written,
    /// Of the file, with what is buffered.
    bytes: u64,
    /// After the last line, written or not.
    head: AuditHead,
    last_ms: i64,
    /// Lines that are not in the file yet.
    buffer: String,
    /// Lines that were written and not taken.
    written: String,
    keeps_written: bool,
    segment_bytes: u64,
    /// Held while the book is.
    _lock: File,
}

/// A file of the log.
#[derive(Clone, Debug)]
pub(super) struct Written {
    path: Arc<PathBuf>,
    file: Arc<File>,
}

// === impl Written ===

impl Written {
    fn new(path: PathBuf, file: File) -> Self {
        Self { path: Arc::new(path), file: Arc::new(file) }
    }

    fn append(&self, bytes: &[u8]) -> Result<(), FileError> {
        let written = (&*self.file).write_all(bytes);
        written.map_err(FileError::at("writing", &self.path))
    }

    /// Makes durable what is written.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::at("syncing", &self.path))
    }
}

// === impl Book ===

impl Book {
    /// Opens the newest file behind its last intact line, or begins a log. What a crash left
    /// behind it is moved aside, and a line says so. Everything is synced then.
    pub(super) fn open(dir: PathBuf, wall_ms: i64) -> Result<Self, FileError> {
        Self::open_with(dir, wall_ms, AUDIT_SEGMENT_BYTES)
    }

    pub(super) fn open_with(
        dir: PathBuf,
        wall_ms: i64,
        segment_bytes: u64,
    ) -> Result<Self, FileError> {
        fs::create_dir_all(&dir).map_err(FileError::at("creating", &dir))?;
        let lock = File::open(&dir).map_err(FileError::at("opening", &dir))?;
        lock.try_lock().map_err(|error| FileError::at("locking", &dir)(error.into()))?;
        let mut all = files::list(&dir)?;
        let mut cut = Vec::new();
        let mut found = None;
        while let Some((_, path)) = all.pop() {
            let tail = files::tail(&path)?;
            cut.extend(files::set_aside(&path, tail.as_ref().map_or(0, |it| it.bytes))?);
            if let Some(tail) = tail {
                found = Some((path, tail));
                break;
            }
        }
        let (path, head, bytes, last_ms) = match found {
            Some((path, tail)) => {
                let size = tail.line.seq + 1;
                let last_ms = tail.line.unix_ms().unwrap_or_default();
                (path, AuditHead { chain: tail.chain, size, hash: tail.hash }, tail.bytes, last_ms)
            }
            None => (dir.join(files::name(0)), begin(&dir)?, 0, 0),
        };
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(FileError::at("opening", &path))?;
        let (buffer, written, is_new) = (String::new(), String::new(), head.size == 0);
        let mut book = Self {
            dir,
            file: Written::new(path, file),
            bytes,
            head,
            last_ms,
            buffer,
            written,
            keeps_written: false,
            segment_bytes,
            _lock: lock,
        };
        if is_new {
            book.write(&book.first(BEGIN), wall_ms);
        }
        for (path, bytes) in cut {
            warn!(path = %path.display(), bytes, "the audit log had a torn end, it is kept aside");
            let note = format!("{bytes} bytes are kept in {}", path.display());
            book.write(&Act::new("audit.cut", "OK").because(note), wall_ms);
        }
        book.flush()?;
        book.file.sync()?;
        book.sync_dir()?;
        Ok(book)
    }

    /// After the last line, written or not.
    pub(super) fn head(&self) -> &AuditHead {
        &self.head
    }

    /// Appends the line of an act; it is in the file after the next [`flush`](Self::flush).
    pub(super) fn push(&mut self, act: &Act, wall_ms: i64) -> Result<(), FileError> {
        if self.bytes >= self.segment_bytes {
            self.roll(wall_ms)?;
        }
        self.write(act, wall_ms);
        Ok(())
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        if !self.buffer.is_empty() {
            self.file.append(self.buffer.as_bytes())?;
            if self.keeps_written {
                self.written.push_str(&self.buffer);
            }
            self.buffer.clear();
        }
        Ok(())
    }

    /// From now on remembers what is written until it is [taken](Self::take_written).
    pub(super) fn keep_written(&mut self) {
        self.keeps_written = true;
    }

    /// What was written since the last time.
    pub(super) fn take_written(&mut self) -> String {
        std::mem::take(&mut self.written)
    }

    /// The file that is written now; those before it are synced.
    pub(super) fn file(&self) -> Written {
        self.file.clone()
    }

    fn roll(&mut self, wall_ms: i64) -> Result<(), FileError> {
        self.flush()?;
        self.file.sync()?;
        let path = self.dir.join(files::name(self.head.size));
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = file.map_err(FileError::at("creating", &path))?;
        (self.file, self.bytes) = (Written::new(path, file), 0);
        self.sync_dir()?;
        self.write(&self.first(CONTINUE), wall_ms);
        Ok(())
    }

    fn sync_dir(&self) -> Result<(), FileError> {
        let synced = File::open(&self.dir).and_then(|it| it.sync_all());
        synced.map_err(FileError::at("syncing", &self.dir))
    }

    /// The line a file begins with.
    fn first(&self, act: &'static str) -> Act {
        Act::new(act, "OK").on(hex::encode(self.head.chain))
    }

    fn write(&mut self, act: &Act, wall_ms: i64) {
        self.last_ms = self.last_ms.max(wall_ms);
        let line = Line::of(act, self.head.size, self.last_ms, &self.head.hash);
        let (text, hash) = line.seal();
        self.buffer.push_str(&text);
        self.buffer.push('\n');
        self.bytes += text.len() as u64 + 1;
        self.head.size += 1;
        self.head.hash = hash;
    }
}

/// The head of a log without lines.
fn begin(dir: &std::path::Path) -> Result<AuditHead, FileError> {
    let mut chain = [0; 16];
    let named = getrandom::fill(&mut chain).map_err(|error| io::Error::other(error.to_string()));
    named.map_err(FileError::at("naming", dir))?;
    Ok(AuditHead { chain, size: 0, hash: Hash::from_bytes([0; 32]) })
}
