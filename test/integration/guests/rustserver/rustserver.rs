//! A server of one connection after the other, with nothing but the standard library.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::wasi::io::FromRawFd;
use std::process;

fn main() {
    let listener = match env::var("LISTEN_FDS_START").map(|fd| fd.parse()) {
        Ok(Ok(fd)) => unsafe { TcpListener::from_raw_fd(fd) },
        _ => {
            println!("no listener");
            process::exit(1);
        }
    };
    println!("accepting");
    for connection in listener.incoming() {
        if let Err(e) = connection.and_then(answer) {
            eprintln!("rustserver: {}", e);
        }
    }
}

/// Reads a request up to its empty line.
fn answer(connection: TcpStream) -> io::Result<()> {
    for line in BufReader::new(&connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let text = "hello from Rust\n";
    write!(&connection, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}", text.len(), text)
}
