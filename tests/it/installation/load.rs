//! Requests as clients send them: single ones, and a steady load that counts every answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// One GET of `/` on a connection of its own.
pub fn get(port: u16, service: &str) -> std::io::Result<Answer> {
    get_with(port, service, "/", "")
}

/// One GET with a path and further header lines (each with its line end).
pub fn get_with(port: u16, service: &str, path: &str, headers: &str) -> std::io::Result<Answer> {
    let mut connection = Connection::open(port)?;
    connection.get(service, path, headers)
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn get(&mut self, service: &str, path: &str, headers: &str) -> std::io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {service}.localhost\r\n{headers}\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// What a load saw.
#[derive(Debug, Default)]
pub struct Tally {
    pub good: u64,
    /// The first failures, in words.
    pub failures: Vec<String>,
}

/// Clients that ask over and over on kept connections until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `clients` clients of a service.
    pub fn start(port: u16, service: &str, clients: usize) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let clients = (0..clients)
            .map(|_| {
                let (stop, good, failures) = (stop.clone(), good.clone(), failures.clone());
                let service = service.to_owned();
                std::thread::spawn(move || client(port, &service, &stop, &good, &failures))
            })
            .collect();
        Self { stop, good, failures, clients }
    }

    /// The failures so far.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().expect("the failures are there").clone()
    }

    /// Stops and counts.
    pub fn finish(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client ends");
        }
        let failures = self.failures.lock().expect("the failures are there").clone();
        Tally { good: self.good.load(Ordering::Relaxed), failures }
    }
}

fn client(port: u16, service: &str, stop: &AtomicBool, good: &AtomicU64, failures: &Mutex<Vec<String>>) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let open = connection.take().map_or_else(|| Connection::open(port), Ok);
        let answer = open.and_then(|mut c| c.get(service, "/", "").map(|a| (c, a)));
        match answer {
            Ok((kept, answer)) if answer.status == 200 => {
                good.fetch_add(1, Ordering::Relaxed);
                connection = (!answer.head.to_ascii_lowercase().contains("connection: close")).then_some(kept);
            }
            Ok((_, answer)) => note(failures, format!("{} {}", answer.status, answer.body.trim())),
            Err(error) => note(failures, error.to_string()),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn note(failures: &Mutex<Vec<String>>, what: String) {
    let mut failures = failures.lock().expect("the failures are there");
    if failures.len() < 1000 {
        failures.push(what);
    }
    drop(failures);
    std::thread::sleep(Duration::from_millis(20));
}
