//! A proxy as companies have one: it wants to know who asks, and notes where they go.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// `me:hunter2`
const WANTED: &str = "proxy-authorization: basic bwu6ahvudgvymg==";

/// Ends with the process: it holds nothing.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn open() -> Self {
        let listener = TcpListener::bind((crate::authority::address(), 0)).unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = proxy.asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let asked = asked.clone();
                std::thread::spawn(move || serve(client, &asked));
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://me:hunter2@{}", self.address)
    }

    /// Where those went whom it let through.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One tunnel. A client that it does not know is told so, as it is by real ones.
fn serve(client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut client = client;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let place = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
        if !head.to_ascii_lowercase().contains(WANTED) {
            let told = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
            client.write_all(told.as_bytes()).ok()?;
            continue;
        }
        let server = TcpStream::connect(&place).ok()?;
        asked.lock().unwrap().push(place);
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let mut server = server;
        let _ = std::io::copy(&mut reader, &mut server);
        let _ = server.shutdown(Shutdown::Write);
        return Some(());
    }
}
