//! Which peers may speak for others: addresses, networks, and whoever is on a Unix socket.
//!
//! An address of IPv4 that is mapped into IPv6 is what it is in IPv4. A peer of which nothing is
//! known is one of everybody's and of nobody else's.

use std::net::IpAddr;

use crate::work::Address;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    everyone: bool,
    unix: bool,
    networks: Vec<(IpAddr, u8)>,
}

impl Peers {
    /// Makes the list of `*`, `unix`, and networks as `address/bits`; `None` if one is neither.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Option<Self> {
        let mut peers = Self::default();
        for entry in entries {
            match entry.as_ref() {
                "*" => peers.everyone = true,
                "unix" => peers.unix = true,
                network => {
                    let (address, bits) = network.split_once('/')?;
                    peers
                        .networks
                        .push((address.parse().ok()?, bits.parse().ok()?));
                }
            }
        }
        Some(peers)
    }

    pub(crate) fn admit(&self, peer: &Address) -> bool {
        self.everyone
            || match peer {
                Address::Inet(peer) => {
                    let address = peer.ip().to_canonical();
                    self.networks
                        .iter()
                        .any(|&(network, bits)| is_within(address, network, bits))
                }
                Address::Unix(_) => self.unix,
                Address::Host => false,
            }
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (difference, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    let free = u32::saturating_sub(width, bits.into());
    difference.checked_shr(free).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(entries: &[&str], peer: &str) -> bool {
        let peer = match peer {
            "unix" => Address::Unix(None),
            "?" => Address::Host,
            inet => Address::Inet((inet.parse::<IpAddr>().unwrap(), 1).into()),
        };
        Peers::parse(entries).unwrap().admit(&peer)
    }

    #[test]
    fn who_is_on_the_list() {
        for (entry, inside, outside) in [
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1/32", "::ffff:127.0.0.1", "::1"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.128.0.0/9", "10.128.0.0", "10.127.255.255"),
            ("::1/128", "::1", "::2"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "ffff::", "1.2.3.4"),
            ("unix", "unix", "127.0.0.1"),
            ("127.0.0.0/8", "127.1.1.1", "unix"),
            ("::/0", "::", "?"),
            ("unix", "unix", "?"),
        ] {
            assert!(admits(&[entry], inside), "{entry} {inside}");
            assert!(!admits(&[entry], outside), "{entry} {outside}");
            assert!(admits(&["192.0.2.0/24", entry], inside));
            assert!(admits(&["*"], outside));
            assert!(!admits(&[], inside));
        }
    }

    #[test]
    fn what_is_no_list() {
        for entry in [
            "",
            "host",
            "1.2.3.4",
            "1.2.3/8",
            "::1/x",
            "::1/-1",
            "1.2.3.4/256",
        ] {
            assert_eq!(Peers::parse(&[entry]), None, "{entry}");
        }
    }
}
