//! Lines of the audit log as messages of RFC 5424, and where they go.

use std::{
    fmt,
    io::{self, Write},
    net::{TcpStream, ToSocketAddrs, UdpSocket},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use crate::audit::line::Line;

/// Where messages go: `udp://host:port`, `tcp://host:port` or `unix:///path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One datagram each (RFC 5426).
    Udp(String),
    /// Counted octets (RFC 6587).
    Tcp(String),
    /// One datagram each, at a socket like `/dev/log`.
    Unix(PathBuf),
}

/// A text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("erwartet udp://host:port, tcp://host:port oder unix:///pfad")]
pub struct TargetError;

/// A target that is open.
#[derive(Debug)]
pub enum Wire {
    /// UDP.
    Udp(UdpSocket),
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixDatagram),
}

// === impl Target ===

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError)?;
        let port = rest.rsplit_once(':').and_then(|(host, port)| {
            (!host.is_empty() && !rest.contains('/')).then(|| port.parse::<u16>().ok()).flatten()
        });
        match scheme {
            "udp" if port.is_some() => Ok(Self::Udp(rest.to_owned())),
            "tcp" if port.is_some() => Ok(Self::Tcp(rest.to_owned())),
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            _ => Err(TargetError),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl Target {
    /// Opens it; waits a few seconds at most.
    ///
    /// # Errors
    ///
    /// Nobody is there.
    pub fn open(&self) -> io::Result<Wire> {
        match self {
            Self::Udp(address) => {
                let to = first(address)?;
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                Ok(Wire::Udp(socket))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(&first(address)?, WAIT)?;
                stream.set_write_timeout(Some(WAIT))?;
                Ok(Wire::Tcp(stream))
            }
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(WAIT))?;
                socket.connect(path)?;
                Ok(Wire::Unix(socket))
            }
        }
    }
}

fn first(address: &str) -> io::Result<std::net::SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    address.to_socket_addrs()?.next().ok_or_else(none)
}

// === impl Wire ===

impl Wire {
    /// Sends a message.
    ///
    /// # Errors
    ///
    /// It was not taken; of datagrams only this machine can tell.
    pub fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Unix(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Tcp(stream) => write!(stream, "{} {message}", message.len()),
        }
    }
}

/// A line as a message: facility 13 (log audit), all members as structured data.
pub fn message(line: &Line, hash: &str, host: &str) -> String {
    let severity = match line.outcome.as_str() {
        "OK" => INFORMATIONAL,
        "FAILED" => ERROR,
        _ => WARNING,
    };
    let short = line.act.rsplit_once('/').map_or(line.act.as_str(), |it| it.1);
    let mut data = format!("[{SD_ID}");
    let (seq, count) = (line.seq.to_string(), line.count.to_string());
    let names = line.names.iter().map(|it| ("name", it.as_str()));
    let texts = [
        ("seq", seq.as_str()),
        ("act", &line.act),
        ("outcome", &line.outcome),
        ("who", &line.who),
        ("from", &line.from),
        ("object", &line.object),
        ("count", &count),
        ("note", &line.note),
        ("prev", &line.prev),
        ("hash", hash),
    ];
    for (name, value) in texts.into_iter().chain(names).filter(|it| !it.1.is_empty()) {
        data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
    }
    data.push(']');
    format!(
        "<{}>1 {} {} registry-node - {} {data} {short} {}",
        FACILITY * 8 + severity,
        line.time,
        printable(host, 255),
        printable(short, 32),
        escaped(&line.outcome)
    )
}

/// A value of structured data; what would end a line becomes a space.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        if matches!(it, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(if it.is_control() { ' ' } else { it });
    }
    out
}

/// A name in the head of a message.
fn printable(text: &str, max: usize) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// Log audit.
const FACILITY: u8 = 13;
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;
/// The number for examples (RFC 5612), as long as there is none of our own.
const SD_ID: &str = "audit@32473";
const WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use registry_proto::log::Hash;

    use super::*;
    use crate::audit::Act;

    #[test]
    fn a_message_has_all_that_the_line_has() {
        let act = Act {
            act: "verbund.registry.v1.PublishService/Publish".into(),
            outcome: "PERMISSION_DENIED".into(),
            who: "p-01".to_owned(),
            names: vec!["a.example".to_owned(), "b.example".to_owned()],
            from: "127.0.0.1".to_owned(),
            object: "with \"quotes\" ] and \\".to_owned(),
            count: 3,
            note: "two\nlines".to_owned(),
        };
        let line = Line::of(&act, 7, 1_795_449_600_123, &Hash::from_bytes([0; 32]));
        let zeros = "0".repeat(64);
        let expected = format!(
            "<108>1 2026-11-23T16:00:00.123Z sl-1.example registry-node - Publish [audit@32473 \
             seq=\"7\" act=\"verbund.registry.v1.PublishService/Publish\" \
             outcome=\"PERMISSION_DENIED\" who=\"p-01\" from=\"127.0.0.1\" object=\"with \
             \\\"quotes\\\" \\] and \\\\\" count=\"3\" note=\"two lines\" prev=\"{zeros}\" \
             hash=\"ab\" name=\"a.example\" name=\"b.example\"] Publish PERMISSION_DENIED"
        );
        assert_eq!(message(&line, "ab", "sl-1.example"), expected);
    }

    #[test]
    fn targets_are_read_as_they_are_written() {
        for good in
            ["udp://127.0.0.1:514", "tcp://log.example:601", "unix:///dev/log", "udp://[::1]:514"]
        {
            assert_eq!(good.parse::<Target>().map(|it| it.to_string()), Ok(good.to_owned()));
        }
        for bad in
            ["", "udp://", "udp://host", "tcp://:1", "http://a:1", "unix://dev", "udp://a:99999"]
        {
            assert_eq!(bad.parse::<Target>(), Err(TargetError), "{bad}");
        }
    }
}
