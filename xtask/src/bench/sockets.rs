//! What /proc/net says of the sockets of a measurement, all on 127.0.0.1.

use std::net::SocketAddr;

/// Bytes in the send queues of connections to `receiver`: written and not yet acknowledged.
pub fn tcp_send_queue(receiver: SocketAddr) -> u64 {
    sum(&tcp(), |columns| (columns.get(2).copied() == Some(&name(receiver))).then(|| queue(columns, 0)))
}

/// Bytes that the kernel of `receiver` holds for it.
pub fn tcp_receive_queue(receiver: SocketAddr) -> u64 {
    let own = name(receiver);
    // A listening socket (state 0A) counts connections there.
    sum(&tcp(), |columns| {
        (columns.get(1).copied() == Some(&own) && columns.get(3) != Some(&"0A")).then(|| queue(columns, 1))
    })
}

/// Datagrams that found the receive buffer of `receiver` full.
pub fn udp_drops(receiver: SocketAddr) -> u64 {
    let text = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    sum(&text, |columns| {
        (columns.get(1).copied() == Some(&name(receiver))).then(|| columns.last()?.parse().ok()).flatten()
    })
}

/// Whether something listens on `port` of 127.0.0.1, or of all addresses.
pub fn tcp_listens(port: u16) -> bool {
    sum(&tcp(), |columns| (columns.get(3) == Some(&"0A") && has_port(columns, port)).then_some(1)) > 0
}

/// The same for datagrams.
pub fn udp_listens(port: u16) -> bool {
    let text = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    sum(&text, |columns| has_port(columns, port).then_some(1)) > 0
}

fn has_port(columns: &[&str], port: u16) -> bool {
    columns.get(1).is_some_and(|name| name.ends_with(&format!(":{port:04X}")))
}

fn tcp() -> String {
    std::fs::read_to_string("/proc/net/tcp").unwrap_or_default()
}

fn sum(text: &str, of: impl Fn(&[&str]) -> Option<u64>) -> u64 {
    text.lines().skip(1).filter_map(|line| of(&line.split_whitespace().collect::<Vec<_>>())).sum()
}

/// One of the two halves of `tx_queue:rx_queue`.
fn queue(columns: &[&str], half: usize) -> u64 {
    let queues = columns.get(4).copied().unwrap_or_default();
    queues.split(':').nth(half).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// An IPv4 address as these files spell it: the bytes as a number of this machine, in hexadecimal.
fn name(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { return String::new() };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn bytes_that_nobody_reads_are_in_a_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut sender = TcpStream::connect(address).unwrap();
        let _unread = listener.accept().unwrap();
        sender.write_all(&[b'x'; 1000]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!((tcp_send_queue(address), tcp_receive_queue(address)), (0, 1000));
    }
}
