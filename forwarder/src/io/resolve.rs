//! Names to addresses, without waiting on the I/O thread.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::oneshot;

/// All addresses of `host`, in the resolver's order; at least one.
///
/// The lookup has a thread of its own and not one of the runtime's: the runtime waits for its threads when it
/// ends, and a resolver that hangs must not hold up the end of the program.
///
/// # Errors
/// The resolver's, and `NotFound` where the name has no address.
///
/// # Cancellation
/// Safe; the thread ends with the lookup.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (answer, answered) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new().name("ringward-dns".into()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let _ = answer.send(found);
    })?;
    let addresses = answered.await.map_err(|_| io::Error::other("the resolver's thread ended without an answer"))??;
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{IoMode, run};

    #[test]
    fn names_and_addresses() {
        run(IoMode::Epoll, async {
            assert_eq!(resolve("::1", 5).await.unwrap(), ["[::1]:5".parse().unwrap()]);
            assert!(resolve("localhost", 5).await.unwrap().contains(&"127.0.0.1:5".parse().unwrap()));
            assert!(resolve("no-such-host.invalid", 5).await.is_err());
        })
        .unwrap();
    }
}
