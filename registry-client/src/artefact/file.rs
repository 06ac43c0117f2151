//! Whole files: their digests, and transfers that go on where they were interrupted.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use registry_proto::{
    artefact::{ARTEFACT_BYTES_MAX, CHUNK_BYTES, Digester, Layout},
    log::Hash,
};

use crate::{Client, ClientError};

/// Behind the name of a file that is not complete.
pub const PARTIAL_SUFFIX: &str = ".teil";

/// What happened to bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They were read for their digests.
    Read(u64),
    /// They are there already.
    Skipped(u64),
    /// They were transferred.
    Moved(u64),
    /// They were transferred and are not what they should be; they come again.
    Undone(u64),
    /// The connection broke; it goes on in a moment.
    Broken,
}

/// What became of a file that was to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// It was received and verified.
    Received,
    /// It was there.
    Unchanged,
}

/// Why a file is not transferred. What was transferred stays for the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The node, or the way to it.
    #[error("the transfer failed")]
    Client(#[from] ClientError),
    /// The disk.
    #[error("cannot {operation} {path}", path = .path.display())]
    File {
        /// "read", "write", "rename".
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Longer than any artefact.
    #[error("{path} has {bytes} bytes; an artefact has at most {ARTEFACT_BYTES_MAX}", path = .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The file is not what it was when its digests were computed.
    #[error("{path} changed while it was read", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Another file has the name already.
    #[error("{path} exists with other content", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A node sends other bytes than the digest says.
    #[error("the node sends other bytes than those of chunk {chunk}")]
    Chunk {
        /// The chunk.
        chunk: Hash,
    },
    /// The chunks are right, and their sum is not the artefact: the descriptor contradicts itself.
    #[error("the chunks are not those of the artefact {sha256}")]
    Whole {
        /// The artefact.
        sha256: Hash,
    },
}

/// Receives one file.
struct Receiver<'a> {
    client: &'a Client,
    partial: PathBuf,
    file: File,
    whole: Digester,
    step: &'a mut dyn FnMut(Step),
}

/// Computes the digests of a file.
///
/// # Errors
///
/// [`FileError::File`], [`FileError::TooLong`].
pub fn describe(path: &Path, step: &mut dyn FnMut(Step)) -> Result<Layout, FileError> {
    let failed = |source| FileError::File { operation: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > ARTEFACT_BYTES_MAX {
        return Err(FileError::TooLong { path: path.to_owned(), bytes });
    }
    let mut digester = Digester::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(digester.finish());
        }
        digester.update(&buffer[..read]);
        if digester.bytes() > ARTEFACT_BYTES_MAX {
            return Err(FileError::TooLong { path: path.to_owned(), bytes: digester.bytes() });
        }
        step(Step::Read(read as u64));
    }
}

// === impl Client ===

impl Client {
    /// Sends the chunks of a file that the node does not have.
    ///
    /// # Errors
    ///
    /// [`FileError`]; what was sent stays at the node for a day.
    pub async fn push_file(
        &self,
        path: &Path,
        layout: &Layout,
        step: &mut dyn FnMut(Step),
    ) -> Result<(), FileError> {
        let failed = |source| FileError::File { operation: "read", path: path.to_owned(), source };
        let chunks: Vec<_> = layout.chunks().map(|(chunk, _)| chunk).collect();
        let mut here: Vec<_> = self.have_chunks(&chunks).await?;
        here.sort_unstable();
        let mut file = File::open(path).map_err(failed)?;
        for (at, (chunk, bytes)) in layout.chunks().enumerate() {
            if here.binary_search(&chunk).is_ok() {
                step(Step::Skipped(bytes.into()));
                continue;
            }
            let mut data = vec![0; bytes as usize];
            file.seek(SeekFrom::Start(at as u64 * u64::from(CHUNK_BYTES))).map_err(failed)?;
            match file.read_exact(&mut data) {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(failed(error));
                }
                Ok(()) if Hash::of(&data) == chunk => {}
                _ => return Err(FileError::Changed { path: path.to_owned() }),
            }
            self.push_again(&chunk, data.into(), step).await?;
            step(Step::Moved(bytes.into()));
        }
        Ok(())
    }

    async fn push_again(
        &self,
        chunk: &Hash,
        data: Bytes,
        step: &mut dyn FnMut(Step),
    ) -> Result<(), ClientError> {
        let mut failures = 0;
        loop {
            match self.push_chunk(chunk, data.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if is_broken(&error) && failures < BREAKS_MAX => {
                    failures += 1;
                    step(Step::Broken);
                    tokio::time::sleep(PAUSE * failures).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives a file to `target`. What came before an interruption lies beside it with the
    /// suffix [`PARTIAL_SUFFIX`], is verified and not sent again.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub async fn pull_file(
        &self,
        layout: &Layout,
        target: &Path,
        step: &mut dyn FnMut(Step),
    ) -> Result<Pulled, FileError> {
        if target.exists() {
            let found = describe(target, &mut |_| ())?;
            if found.sha256() != layout.sha256() {
                return Err(FileError::Exists { path: target.to_owned() });
            }
            step(Step::Skipped(layout.bytes()));
            return Ok(Pulled::Unchanged);
        }
        let mut name = OsString::from(target);
        name.push(PARTIAL_SUFFIX);
        let partial = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&partial).map_err(|source| FileError::File {
            operation: "write",
            path: partial.clone(),
            source,
        })?;
        let whole = Digester::default();
        let mut receiver = Receiver { client: self, partial, file, whole, step };
        for (at, (chunk, bytes)) in layout.chunks().enumerate() {
            receiver.chunk(at as u64 * u64::from(CHUNK_BYTES), chunk, bytes).await?;
        }
        receiver.end(layout, target)
    }
}

// === impl Receiver ===

impl Receiver<'_> {
    /// Takes over what lies in the partial file, and receives the rest of the chunk.
    async fn chunk(&mut self, start: u64, chunk: Hash, bytes: u32) -> Result<(), FileError> {
        let mut data = self.before(start, bytes)?;
        if data.len() == bytes as usize && Hash::of(&data) == chunk {
            (self.step)(Step::Skipped(bytes.into()));
            self.whole.update(&data);
            return Ok(());
        }
        if data.len() == bytes as usize {
            data.clear(); // the disk forgot, or it is of another file
        }
        // what follows is of no use before this chunk is whole
        self.cut(start + data.len() as u64)?;
        (self.step)(Step::Skipped(data.len() as u64));
        let mut resumed = !data.is_empty();
        loop {
            self.receive(&chunk, bytes, &mut data).await?;
            if Hash::of(&data) == chunk {
                self.whole.update(&data);
                return Ok(());
            }
            (self.step)(Step::Undone(data.len() as u64));
            data.clear();
            self.cut(start)?;
            if !resumed {
                return Err(FileError::Chunk { chunk });
            }
            resumed = false;
        }
    }

    async fn receive(
        &mut self,
        chunk: &Hash,
        bytes: u32,
        data: &mut Vec<u8>,
    ) -> Result<(), FileError> {
        let mut failures = 0;
        loop {
            let before = data.len();
            let outcome = self.frames(chunk, bytes, data).await;
            match outcome {
                Err(FileError::Client(error)) if is_broken(&error) && failures < BREAKS_MAX => {
                    failures = if data.len() > before { 1 } else { failures + 1 };
                    (self.step)(Step::Broken);
                    tokio::time::sleep(PAUSE * failures).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn frames(
        &mut self,
        chunk: &Hash,
        bytes: u32,
        data: &mut Vec<u8>,
    ) -> Result<(), FileError> {
        let mut pull = self.client.pull_chunk(chunk, data.len() as u64).await?;
        while let Some(frame) = pull.next().await? {
            if data.len() + frame.len() > bytes as usize {
                return Err(FileError::Chunk { chunk: *chunk });
            }
            data.extend_from_slice(&frame);
            self.file.write_all(&frame).map_err(|source| self.failed("write", source))?;
            (self.step)(Step::Moved(frame.len() as u64));
        }
        Ok(())
    }

    /// What lies in the partial file from `start` on, at most a chunk.
    fn before(&mut self, start: u64, bytes: u32) -> Result<Vec<u8>, FileError> {
        let mut data = Vec::new();
        let read = self.file.seek(SeekFrom::Start(start));
        let read = read.and_then(|_| (&self.file).take(bytes.into()).read_to_end(&mut data));
        read.map_err(|source| self.failed("read", source))?;
        Ok(data)
    }

    /// Ends the partial file here, and writes on from here.
    fn cut(&mut self, length: u64) -> Result<(), FileError> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        cut.map(|_| ()).map_err(|source| self.failed("write", source))
    }

    fn end(mut self, layout: &Layout, target: &Path) -> Result<Pulled, FileError> {
        self.cut(layout.bytes())?;
        if self.whole.clone().finish().sha256() != layout.sha256() {
            return Err(FileError::Whole { sha256: layout.sha256() });
        }
        self.file.sync_all().map_err(|source| self.failed("write", source))?;
        fs::rename(&self.partial, target).map_err(|source| self.failed("rename", source))?;
        Ok(Pulled::Received)
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> FileError {
        FileError::File { operation, path: self.partial.clone(), source }
    }
}

/// True if the same call may succeed in a moment.
fn is_broken(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Broken { .. } | ClientError::TimedOut { .. } | ClientError::Connect(_)
    )
}

const READ_BYTES: usize = 1 << 20;
/// Breaks without any progress between them, then the transfer is given up.
const BREAKS_MAX: u32 = 3;
/// Wait after the first break; longer after each.
const PAUSE: Duration = Duration::from_secs(1);
