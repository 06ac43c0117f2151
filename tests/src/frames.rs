//! HTTP/2 as an attacker writes it: frame by frame, and not always as it should be.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a client of HTTP/2 says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types of RFC 9113.
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;
/// The last frame of a side.
pub const END_STREAM: u8 = 0x1;
/// The answer to SETTINGS or PING.
pub const ACK: u8 = 0x1;
/// The last frame of a block of headers.
pub const END_HEADERS: u8 = 0x4;

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream; 0 is the connection.
    pub stream: u32,
    /// What follows the head.
    pub payload: Vec<u8>,
}

// === impl Frame ===

impl Frame {
    /// What a WINDOW_UPDATE adds.
    pub fn increment(&self) -> u64 {
        let raw = self.payload.as_slice().try_into().expect("4 bytes");
        u64::from(u32::from_be_bytes(raw))
    }
}

/// A frame as it is written.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    let mut raw = Vec::with_capacity(9 + payload.len());
    raw.extend_from_slice(&length[1..]);
    raw.extend_from_slice(&[kind, flags]);
    raw.extend_from_slice(&stream.to_be_bytes());
    raw.extend_from_slice(payload);
    raw
}

/// The headers of a gRPC call, each written out in full.
pub fn call(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend(field(name, value));
    }
    block
}

/// A header that is not to be remembered; name and value up to 126 bytes.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut raw = vec![0];
    for text in [name, value] {
        raw.push(u8::try_from(text.len()).ok().filter(|it| *it < 127).expect("a short text"));
        raw.extend_from_slice(text.as_bytes());
    }
    raw
}

/// A gRPC message with the length it claims to have.
pub fn message(claims: u32, bytes: &[u8]) -> Vec<u8> {
    let mut raw = vec![0];
    raw.extend_from_slice(&claims.to_be_bytes());
    raw.extend_from_slice(bytes);
    raw
}

/// The settings that let the other side send `window` bytes of each answer.
pub fn window(window: u32) -> Vec<u8> {
    let mut payload = vec![0, 4];
    payload.extend_from_slice(&window.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// Begins a connection: preface and settings, and what both sides have to say about them. Answers
/// how many bytes the node lets be under way on the connection.
///
/// # Errors
///
/// The connection is gone.
pub async fn begin(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    settings: &[u8],
) -> std::io::Result<u64> {
    io.write_all(PREFACE).await?;
    io.write_all(settings).await?;
    io.flush().await?;
    let (mut window, mut acknowledged) = (None, false);
    while window.is_none() || !acknowledged {
        let got = read(io).await.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        match got.kind {
            SETTINGS if got.flags & ACK == 0 => io.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            SETTINGS => acknowledged = true,
            WINDOW_UPDATE => window = Some(WINDOW_AT_FIRST + got.increment()),
            _ => {}
        }
    }
    Ok(window.unwrap_or_default())
}

/// The next frame; none when the other side has closed.
pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    io.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}

/// Reads until the other side closes, at most `limit`; what it said. Answers nothing.
pub async fn read_to_end(io: &mut (impl AsyncRead + Unpin), limit: Duration) -> Vec<Frame> {
    let mut frames = Vec::new();
    let all = async {
        while let Some(frame) = read(io).await {
            frames.push(frame);
        }
    };
    tokio::time::timeout(limit, all).await.expect("the node closes the connection in time");
    frames
}

/// Bytes that may be under way on a connection before anybody says more.
const WINDOW_AT_FIRST: u64 = 65_535;
