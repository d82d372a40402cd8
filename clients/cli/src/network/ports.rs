//! Ports on loopback for nodes that were given no address.
//!
//! A node that was stopped must find its port free when it starts again. The kernel hands ports of one range to outgoing connections of
//! any program, so ports for nodes lie outside it, as long as there are some.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

use crate::error::{CliError, Result};

/// Ports below this are left to programs with fixed ones.
const LOWEST: u32 = 10_000;
const ABOVE_ALL: u32 = 65_536;
/// What Linux takes for outgoing connections unless it is told otherwise.
const USUAL_OUTGOING: Range<u32> = 32_768..61_000;
const OUTGOING_FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// So many different addresses on loopback whose ports are free now.
///
/// # Errors
/// There are not that many.
pub fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let outgoing = std::fs::read_to_string(OUTGOING_FILE)
        .ok()
        .and_then(|text| outgoing_ports(&text))
        .unwrap_or(USUAL_OUTGOING);
    let mut bytes = [0; 4];
    sealbook_primitives::random::fill(&mut bytes);
    let candidates = candidates(&outgoing, u32::from_le_bytes(bytes));
    // 0 leaves the choice to the kernel. All listeners stay open until all ports are known, so that no port comes twice.
    let ports = candidates.into_iter().chain(std::iter::repeat_n(0, count));
    let listeners: Vec<TcpListener> = ports
        .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .take(count)
        .collect();
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect();
    if addresses.len() < count {
        return Err(CliError::new("no free port"));
    }
    Ok(addresses)
}

/// The kernel's file has the first and the last port.
fn outgoing_ports(text: &str) -> Option<Range<u32>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u32>);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last && last < ABOVE_ALL).then_some(first..last + 1)
}

/// Every port for nodes once, beginning at a place that `draw` decides, so that networks made at the same time hardly meet.
fn candidates(outgoing: &Range<u32>, draw: u32) -> Vec<u16> {
    let usable: Vec<u16> = (LOWEST..ABOVE_ALL)
        .filter(|port| !outgoing.contains(port))
        .filter_map(|port| u16::try_from(port).ok())
        .collect();
    let start = (draw as usize).checked_rem(usable.len()).unwrap_or(0);
    let (end, beginning) = usable.split_at(start);
    [beginning, end].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn addresses_are_free_differ_and_stay_out_of_the_kernels_way() {
        let addresses = free_addresses(16).unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 16);
        let text = std::fs::read_to_string(OUTGOING_FILE).unwrap();
        let outgoing = outgoing_ports(&text).unwrap();
        // On a machine that hands out nearly all ports, there is nothing to choose.
        if candidates(&outgoing, 0).len() > 1_000 {
            for address in addresses {
                TcpListener::bind(address).unwrap();
                assert!(!outgoing.contains(&u32::from(address.port())), "{address}");
            }
        }
    }

    #[test]
    fn ports_for_nodes_begin_anywhere_and_come_once_each() {
        let from_the_first = candidates(&USUAL_OUTGOING, 0);
        assert_eq!(from_the_first.first(), Some(&10_000));
        assert_eq!(from_the_first.last(), Some(&65_535));
        assert!(!from_the_first.contains(&32_768) && !from_the_first.contains(&60_999));
        let from_elsewhere = candidates(&USUAL_OUTGOING, 22_767);
        assert_eq!(from_elsewhere[..2], [32_767, 61_000]);
        assert_eq!(from_elsewhere.len(), from_the_first.len());
        assert!(candidates(&(0..ABOVE_ALL), 7).is_empty());
    }

    #[test]
    fn what_the_kernel_says_is_read_or_left() {
        assert_eq!(outgoing_ports("32768\t60999\n"), Some(USUAL_OUTGOING));
        for text in ["", "1024", "a b", "5 4", "1 70000"] {
            assert_eq!(outgoing_ports(text), None, "{text}");
        }
    }
}
