//! A wire that can be cut: connections to a server, passed on.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

/// Listens on a port of this machine, and passes on what comes to a server.
pub struct Proxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    wire: Arc<Wire>,
}

struct Wire {
    server: String,
    is_cut: AtomicBool,
    /// Bytes to the server that still pass.
    left: AtomicI64,
    /// Answers that still pass until one is lost; less than none: all of them.
    answers: AtomicI64,
    ends: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A way to the server at `server`, such as `127.0.0.1:1234`.
    ///
    /// # Panics
    ///
    /// There is no port.
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (is_cut, left) = (AtomicBool::new(false), AtomicI64::new(i64::MAX));
        let (answers, ends) = (AtomicI64::new(-1), Mutex::default());
        let wire = Wire { server: server.to_owned(), is_cut, left, answers, ends };
        let wire = Arc::new(wire);
        let passing = Arc::clone(&wire);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !passing.is_cut.load(Ordering::SeqCst) {
                    pass(&passing, client);
                }
            }
        });
        Self { address, wire }
    }

    /// From now on, nothing passes.
    pub fn cut(&self) {
        self.wire.cut();
    }

    /// Cuts when this many further bytes have gone to the server.
    pub fn cut_after(&self, bytes: i64) {
        self.wire.left.store(bytes, Ordering::SeqCst);
    }

    /// What the server says after `answers` further answers does not arrive: the connection ends
    /// there, and only this one.
    pub fn lose_answer_after(&self, answers: i64) {
        self.wire.answers.store(answers, Ordering::SeqCst);
    }

    /// Whether there is still an answer to be lost.
    pub fn is_to_lose(&self) -> bool {
        self.wire.answers.load(Ordering::SeqCst) >= 0
    }

    pub fn is_cut(&self) -> bool {
        self.wire.is_cut.load(Ordering::SeqCst)
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.wire.left.store(i64::MAX, Ordering::SeqCst);
        self.wire.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Wire {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for end in self.ends.lock().unwrap().drain(..) {
            // It may have ended by itself.
            end.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}

fn pass(wire: &Arc<Wire>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(&wire.server) else { return };
    let both = [&client, &server].map(|end| end.try_clone().unwrap());
    wire.ends.lock().unwrap().extend(both);
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let counted = Arc::clone(wire);
    std::thread::spawn(move || {
        copy(from, to, |bytes| {
            let left = counted.left.fetch_sub(bytes, Ordering::SeqCst) - bytes;
            if left < 0 {
                counted.cut();
            }
            left >= 0
        });
    });
    let counted = Arc::clone(wire);
    std::thread::spawn(move || {
        copy(server, client, |_| {
            let answers = &counted.answers;
            answers.load(Ordering::SeqCst) < 0 || answers.fetch_sub(1, Ordering::SeqCst) > 0
        });
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut may_pass: impl FnMut(i64) -> bool) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut piece) {
        let bytes = i64::try_from(read).unwrap();
        if read == 0 || !may_pass(bytes) || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).unwrap_or_default();
}
