//! What the containers see of a network: names that resolve, and somebody who probes them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// As long as the probes of the chart wait.
const PROBE: Duration = Duration::from_secs(10);

/// Asks as a probe does; only 200 is an answer.
pub(super) fn ask(port: u16, path: &str) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut answer = String::new();
    let mut asked = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
        stream.set_read_timeout(Some(PROBE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer).map(drop)
    };
    asked().with_context(|| format!("no answer from {address} to `{path}`"))?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { bail!("`{path}` says: {answer}") }
}

pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

/// Where the containers find a name server: on the port for names of an address that nobody else
/// listens on, not even another run of this check.
pub(super) fn name_server() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 53, high, low)
}

/// Answers every question for an IPv4 address with 127.0.0.1, and others with nothing.
///
/// Spec: RFC 1035 §4.1.
pub(super) fn serve_names() -> Result<()> {
    let address = name_server();
    let socket = UdpSocket::bind((address, 53))
        .with_context(|| format!("could not listen on {address}, port 53"))?;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(reply) = query.get(..length).and_then(answer) {
                // A lost reply is asked for again.
                socket.send_to(&reply, from).map(drop).unwrap_or_default();
            }
        }
    });
    Ok(())
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let end = HEADER + name + 5;
    let question = query.get(HEADER..end)?;
    let is_address = question.get(name + 1..name + 3)? == [0, 1];
    let mut reply = query.get(..2)?.to_vec();
    // A reply without error; one question, and one answer if there is one.
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    reply.extend(question);
    if is_address {
        // The same name, an IPv4 address of the Internet, valid for a minute.
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_for_an_address_get_one() {
        let query = |kind: u8| {
            let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            query.extend(b"\x04mail\x07example\x03com\x00");
            query.extend([0, kind, 0, 1]);
            query
        };
        let address = answer(&query(1)).unwrap();
        assert_eq!(address[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(address.ends_with(&[0, 4, 127, 0, 0, 1]));
        // AAAA: the name is there, and has no such address.
        let none = answer(&query(28)).unwrap();
        assert_eq!(none[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(none.len(), query(28).len());
        assert_eq!(answer(&query(1)[..20]), None);
    }
}
