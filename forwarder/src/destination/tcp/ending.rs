//! What a FIN of the receiver means.
//!
//! A receiver that closes with everything read sends a FIN, and answers to nothing but with an RST from then on.
//! A FIN can also be half a close: `shutdown` of its sending side by a program that goes on reading, or that
//! closes a moment later with data unread, which sends an RST after the FIN. So a FIN is believed when all that
//! was sent before it is acknowledged, nothing was acknowledged after it, and no RST follows for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::io::TcpConnection;
use crate::sys::STATE_CLOSED;

/// How long an RST may take after the FIN, besides two round trips. Programs that shut down and close do that
/// in one go; this leaves room for a busy machine.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// How long data may stay unacknowledged after the FIN. A receiver that closed answers with an RST in one round
/// trip; one that is half closed acknowledges, unless its buffer is full.
const PATIENCE: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(5);

/// Waits until it is clear what the receiver's FIN means: `Some(bytes)` that it has read of what was sent, or `None`,
/// where a FIN proves no more than an RST. Nothing may be written meanwhile.
pub(super) async fn bytes_read_at_fin(connection: &TcpConnection, written: u64) -> Option<u64> {
    let at_fin = connection.tcp_info().ok()?;
    let acked = at_fin.bytes_acked.min(written);
    let begin = Instant::now();
    let grace = GRACE + 2 * Duration::from_micros(u64::from(at_fin.rtt_us)).min(Duration::from_secs(1));
    loop {
        let info = connection.tcp_info().ok()?;
        if info.state == STATE_CLOSED || info.bytes_acked.min(written) > acked {
            return None;
        }
        let unacknowledged = connection.unacknowledged_bytes().ok()?;
        let waited = begin.elapsed();
        if unacknowledged == 0 && waited >= grace {
            return Some(acked);
        }
        if waited >= PATIENCE {
            return None;
        }
        sleep(POLL).await;
    }
}
