//! Decides to which addresses this program may connect.
//!
//! Host names come from a configuration, and sometimes from people who must not reach what this
//! machine can reach: the metadata service of a cloud hands out credentials to whoever asks. So
//! the rule looks at the address that is connected to, never at the name, and a name that
//! resolves anew is judged anew.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// How much is forbidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Every address is allowed.
    Off,
    /// Link-local addresses and metadata services of clouds are forbidden. The default, since
    /// an Exchange server usually has a private address.
    #[default]
    Metadata,
    /// Private, loopback and otherwise special addresses are forbidden as well.
    Private,
}

/// The rule for outgoing connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    pub level: Level,
    /// Networks that are allowed whatever the level.
    pub allow: Vec<Network>,
}

impl Egress {
    pub fn new(level: Level) -> Self {
        Self { level, allow: Vec::new() }
    }

    /// Whether a connection to `address` is allowed.
    ///
    /// An IPv6 address that leads to an IPv4 one (mapped, compatible, NAT64, 6to4) is judged
    /// as both.
    pub fn allows(&self, address: IpAddr) -> bool {
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
        };
        let allowed =
            |ip: IpAddr| self.allow.iter().any(|network| network.contains(ip)) || self.permits(ip);
        match (address, embedded) {
            // `::ffff:0:0/96` is a spelling of IPv4, not a place of its own.
            (IpAddr::V6(v6), Some(v4)) if v6.to_ipv4_mapped().is_some() => allowed(v4),
            (_, Some(v4)) => allowed(v4) && allowed(address),
            (_, None) => allowed(address),
        }
    }

    fn permits(&self, ip: IpAddr) -> bool {
        match self.level {
            Level::Off => true,
            Level::Metadata => !is_metadata(ip),
            Level::Private => !is_metadata(ip) && !is_private(ip),
        }
    }
}

/// A range of addresses: `10.0.0.0/8`, `fd12::/16`, or a single address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// The text is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a network like `10.0.0.0/8`")]
pub struct BadNetwork(String);

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.chars().take(80).collect());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        if prefix > width { Err(bad()) } else { Ok(Self { base, prefix }) }
    }
}

impl Network {
    /// Whether that address is in the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The IPv4 address that `ip` leads to.
///
/// Spec: RFC 4291 §2.5.5 (compatible, mapped), RFC 6052 §2.1 and RFC 8215 (NAT64), RFC 3056 §2
/// (6to4).
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = |bits: u128| Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or(0));
    let bits = ip.to_bits();
    if let Some(v4) = ip.to_ipv4_mapped() {
        return Some(v4);
    }
    // `::` and `::1` have their own meaning.
    if bits >> 32 == 0 && bits > 1 {
        return Some(low(bits));
    }
    let nat64 = bits >> 32 == 0x0064_ff9b << 64 || bits >> 80 == 0x0064_ff9b_0001;
    if nat64 {
        return Some(low(bits));
    }
    (bits >> 112 == 0x2002).then(|| low(bits >> 80))
}

fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                // Alibaba Cloud, Oracle Cloud, and Azure's host agent.
                || matches!(
                    ip.octets(),
                    [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16]
                )
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                // Amazon EC2 and Google Cloud.
                || matches!(
                    ip.segments(),
                    [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
                )
        }
    }
}

/// Everything that is not a public unicast address.
///
/// Spec: RFC 6890, IANA special-purpose address registries.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private()
                || ip.is_loopback()
                || ip.is_broadcast()
                || ip.is_multicast()
                || ip.is_documentation()
                || matches!(
                    ip.octets(),
                    [0, ..]
                        | [100, 64..=127, ..]
                        | [192, 0, 0, _]
                        | [198, 18..=19, ..]
                        | [240..=255, ..]
                )
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_multicast()
                // Site-local (fec0::/10) and documentation.
                || ip.segments().first().is_some_and(|s| s & 0xffc0 == 0xfec0)
                || matches!(ip.segments(), [0x2001, 0xdb8, ..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: Level, addresses: &[&str], expected: bool) {
        let egress = Egress::new(level);
        for address in addresses {
            let ip = address.parse().unwrap();
            assert_eq!(egress.allows(ip), expected, "{address} at level {level:?}");
        }
    }

    const METADATA: [&str; 14] = [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fe80::1",
        "febf:ffff::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
    ];
    const PRIVATE: [&str; 24] = [
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fec0::1",
        "ff02::1",
        "::ffff:10.1.2.3",
        "::ffff:127.0.0.1",
        "64:ff9b::10.1.2.3",
        "2002:0a01:0203::1",
    ];
    const PUBLIC: [&str; 7] = [
        "8.8.8.8",
        "100.128.0.1",
        "172.32.0.1",
        "169.253.255.255",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ];

    #[test]
    fn metadata_is_blocked_by_default_in_every_spelling() {
        assert_eq!(Egress::default().level, Level::Metadata);
        check(Level::Metadata, &METADATA, false);
        check(Level::Metadata, &PRIVATE, true);
        check(Level::Metadata, &PUBLIC, true);
    }

    #[test]
    fn private_addresses_are_blocked_on_request() {
        check(Level::Private, &METADATA, false);
        check(Level::Private, &PRIVATE, false);
        check(Level::Private, &PUBLIC, true);
    }

    #[test]
    fn nothing_is_blocked_when_switched_off() {
        check(Level::Off, &METADATA, true);
        check(Level::Off, &PRIVATE, true);
    }

    #[test]
    fn listed_networks_are_allowed_at_any_level() {
        let mut egress = Egress::new(Level::Private);
        egress.allow =
            ["10.1.0.0/16", "fd12::/16", "169.254.7.7"].map(|n| n.parse().unwrap()).into();
        for (address, expected) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("fd12:1::1", true),
            ("fd13::1", false),
            ("169.254.7.7", true),
            ("169.254.7.8", false),
        ] {
            assert_eq!(egress.allows(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_network_of_no_bits_holds_everything_of_its_kind() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "example.com", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Network>(), Err(BadNetwork(text.into())));
        }
    }
}
