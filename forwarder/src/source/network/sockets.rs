//! Sockets that listen, and what else is read.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::sockopt;
use socket2::{Domain, Socket, Type};

use super::stdin::StandardInput;
use super::{ListenEndpoint, ListenError, ListenOptions};
use crate::io::unix::{SocketFile, SocketKind};

/// Connections that wait for being accepted; the kernel takes less where `net.core.somaxconn` says so.
const BACKLOG: i32 = 1024;

/// A socket that is ready, and does not block.
pub(super) enum Bound {
    Tcp(TcpListener),
    Connections(UnixListener),
    Datagrams(OwnedFd),
    /// Nothing is bound: a program is started.
    Program(Vec<String>),
    Stdin(StandardInput),
}

/// A socket, where it is bound, and its file.
pub(super) type Ready = (Bound, ListenEndpoint, Option<SocketFile>);

/// Binds to the path, or to the first of the name's addresses that can be had; or opens what is read.
pub(super) fn bind(options: &ListenOptions) -> Result<Ready, ListenError> {
    let endpoint = &options.endpoint;
    let failed = |source| ListenError::Endpoint { endpoint: endpoint.clone(), source };
    match endpoint {
        ListenEndpoint::Unix(path) => {
            let (socket, file) = SocketKind::Datagram.bind_for(path, options.mode)?;
            // What was sent by now says nothing of its sender, and is taken all the same.
            sockopt::set_socket_passcred(&socket, true).map_err(|error| failed(error.into()))?;
            Ok((Bound::Datagrams(socket), endpoint.clone(), Some(file)))
        }
        ListenEndpoint::UnixStream(path) => {
            let (socket, file) = SocketKind::Stream.bind_for(path, options.mode)?;
            Ok((Bound::Connections(socket.into()), endpoint.clone(), Some(file)))
        }
        ListenEndpoint::Exec(words) => Ok((Bound::Program(words.clone()), endpoint.clone(), None)),
        ListenEndpoint::Stdin => {
            let input = StandardInput::open().map_err(failed)?;
            Ok((Bound::Stdin(input), endpoint.clone(), None))
        }
        ListenEndpoint::Udp { host, port } => {
            let (bound, address) = bind_first(options, Type::DGRAM, host, *port).map_err(failed)?;
            let (host, port) = found(host, *port, address);
            Ok((bound, ListenEndpoint::Udp { host, port }, None))
        }
        ListenEndpoint::Tcp { host, port } => {
            let (bound, address) = bind_first(options, Type::STREAM, host, *port).map_err(failed)?;
            let (host, port) = found(host, *port, address);
            Ok((bound, ListenEndpoint::Tcp { host, port }, None))
        }
    }
}

/// Host and port that it has now.
fn found(host: &str, port: u16, address: SocketAddr) -> (String, u16) {
    (if port == 0 { address.ip().to_string() } else { host.to_owned() }, address.port())
}

fn bind_first(options: &ListenOptions, kind: Type, host: &str, port: u16) -> io::Result<(Bound, SocketAddr)> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match bind_address(options, kind, address) {
            Ok(bound) => return Ok(bound),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn bind_address(options: &ListenOptions, kind: Type, address: SocketAddr) -> io::Result<(Bound, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Whatever net.ipv6.bindv6only says: IPv4 as well.
        socket.set_only_v6(false)?;
    }
    if kind == Type::STREAM {
        // Connections of an earlier run that the kernel still remembers don't matter.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        return Ok((Bound::Tcp(listener), address));
    }
    set_receive_buffer(&socket, options)?;
    socket.bind(&address.into())?;
    let socket = std::net::UdpSocket::from(socket);
    let address = socket.local_addr()?;
    Ok((Bound::Datagrams(socket.into()), address))
}

fn set_receive_buffer(socket: &Socket, options: &ListenOptions) -> io::Result<()> {
    let wanted = options.receive_buffer;
    if sockopt::set_socket_recv_buffer_size_force(socket, wanted).is_ok() {
        return Ok(());
    }
    socket.set_recv_buffer_size(wanted)?;
    // The kernel says twice what it was asked for: its own bookkeeping counts as well.
    let given = socket.recv_buffer_size()? / 2;
    if given < wanted {
        tracing::warn!(
            "{}: the kernel gives {given} bytes of receive buffer instead of {wanted}; bursts of datagrams may be lost \
             (raise net.core.rmem_max, or add CAP_NET_ADMIN)",
            options.endpoint
        );
    }
    Ok(())
}
