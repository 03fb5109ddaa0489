//! Sockets that listen.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

use rustix::net::sockopt;
use socket2::{Domain, Socket, Type};

use super::{ListenOptions, Protocol};

/// Connections that wait for being accepted; the kernel takes less where `net.core.somaxconn` says so.
const BACKLOG: i32 = 1024;

/// A socket that is ready, and does not block.
pub(super) enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Binds to the first of the name's addresses that can be had.
pub(super) fn bind(options: &ListenOptions) -> io::Result<(Bound, SocketAddr)> {
    let endpoint = &options.endpoint;
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (endpoint.host.as_str(), endpoint.port).to_socket_addrs()? {
        match bind_address(options, address) {
            Ok(bound) => return Ok(bound),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn bind_address(options: &ListenOptions, address: SocketAddr) -> io::Result<(Bound, SocketAddr)> {
    let kind = match options.endpoint.protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
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
    let socket = UdpSocket::from(socket);
    let address = socket.local_addr()?;
    Ok((Bound::Udp(socket), address))
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
