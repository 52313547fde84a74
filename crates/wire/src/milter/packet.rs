//! Packets: four octets of length, a command, its data.
//!
//! In: a stream. Out: whole packets, up to a limit; and the octets of packets to be sent. Memory follows what has come, not what was announced.

use std::time::Duration;

use tokio::time::Instant;

use crate::milter::limit;
use crate::smtp::lines::{Gone, LARGE, Lines, SMALL};

/// A packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) command: u8,
    pub(crate) data: Vec<u8>,
}

/// Octets before the command.
const LENGTH: usize = 4;

/// The octets of a packet.
pub(crate) fn write(command: u8, data: &[&[u8]], to: &mut Vec<u8>) {
    let length = data.iter().fold(1, |sum: usize, part| sum.saturating_add(part.len()));
    to.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    to.push(command);
    data.iter().for_each(|part| to.extend_from_slice(part));
}

/// Has the next packet come, as a whole?
pub(crate) fn is_here(lines: &Lines) -> bool {
    length(lines.ahead()).is_some_and(|length| lines.ahead().len() >= LENGTH.saturating_add(length))
}

/// The next packet. May be dropped while it waits: nothing is lost then.
pub(crate) async fn read(lines: &mut Lines, patience: Duration) -> Result<Packet, Gone> {
    let idle = Instant::now() + patience;
    let mut rest = None;
    loop {
        let length = length(lines.ahead());
        if length.is_some_and(|length| length == 0 || length > limit::PACKET) {
            return Err(Gone::TooLong);
        }
        if is_here(lines) {
            let end = LENGTH.saturating_add(length.unwrap_or_default());
            let packet = lines.ahead().get(LENGTH..end).and_then(<[u8]>::split_first);
            let packet = packet.map(|(command, data)| Packet { command: *command, data: data.to_vec() });
            lines.take(end);
            return packet.ok_or(Gone::TooLong);
        }
        let (room, until) = if lines.has_more() {
            let soon = *rest.get_or_insert_with(|| Instant::now() + limit::PACKET_TIME);
            (LARGE, soon)
        } else {
            lines.let_go();
            (SMALL, idle)
        };
        lines.fill(room, until).await?;
    }
}

fn length(octets: &[u8]) -> Option<usize> {
    octets.first_chunk::<LENGTH>().map(|length| usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX))
}
