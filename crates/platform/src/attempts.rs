//! Attempts to come in with something that can be guessed, and how many are tried.
//!
//! | Charged to | Attempts without a pause | Then |
//! |---|---|---|
//! | account and address | 5 | 1 s, 2 s, 4 s, … to 15 minutes |
//! | account | 20 | the same, unless the account came in from that address before |
//! | address | 50 | the same |
//!
//! An account is what was typed, whether there is such a user or not, so that pauses tell nothing.
//! Who came in from their address before is not locked out by strangers. It is in the memory of
//! one process; a start begins anew.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    refusal::Refusal,
    throttle::{Key, Rule, Throttle, key},
};

const RULE: Rule = Rule {
    free: 5,
    first: Duration::from_secs(1),
    most: Duration::from_secs(15 * 60),
    forget: Duration::from_secs(24 * 3600),
    capacity: 10_000,
};

pub(crate) struct Attempts {
    pairs: Throttle,
    accounts: Throttle,
    addresses: Throttle,
    /// Who came in from where: being charged here means nothing but to be remembered.
    known: Throttle,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            pairs: Throttle::new(RULE),
            accounts: Throttle::new(Rule { free: 20, ..RULE }),
            addresses: Throttle::new(Rule { free: 50, ..RULE }),
            known: Throttle::new(Rule { free: 0, first: RULE.forget, most: RULE.forget, ..RULE }),
        }
    }
}

/// An attempt that was charged. Dropped, it has failed.
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    pair: Option<Key>,
    account: Option<Key>,
    address: Key,
    at: Instant,
    /// The next one has to wait.
    pub(crate) locks: bool,
}

impl Attempts {
    /// Charges an attempt with that account from that address. Without an account, with what cannot
    /// be guessed anyway, only the address is charged.
    pub(crate) fn begin(
        &self,
        account: Option<&str>,
        from: IpAddr,
        now: Instant,
    ) -> Result<Attempt<'_>, Refusal> {
        let from = network(from);
        let account = account.map(|name| name.trim().to_lowercase());
        let pair = account.as_ref().map(|name| key(&[name, &from]));
        let address = key(&[&from]);
        // A stranger's failures do not keep out who was here before.
        let known = pair.is_some_and(|pair| self.known.wait(&pair, now).is_some());
        let account = account.filter(|_| !known).map(|name| key(&[&name]));
        let waits = [
            pair.and_then(|pair| self.pairs.wait(&pair, now)),
            account.and_then(|account| self.accounts.wait(&account, now)),
            self.addresses.wait(&address, now),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            return Err(Refusal::busy("too many attempts; try again later", seconds));
        }
        let mut locks = pair.is_some_and(|pair| self.pairs.charge(pair, now));
        if let Some(account) = account {
            locks |= self.accounts.charge(account, now);
        }
        locks |= self.addresses.charge(address, now);
        Ok(Attempt { attempts: self, pair, account, address, at: now, locks })
    }
}

impl Attempt<'_> {
    /// The person came in: earlier failures with the account are forgiven, those of the address
    /// are not, since who has one account may try others.
    pub(crate) fn succeeded(self) {
        if let Some(pair) = &self.pair {
            self.attempts.pairs.forgive(pair);
            self.attempts.known.charge(*pair, self.at);
        }
        if let Some(account) = &self.account {
            self.attempts.accounts.forgive(account);
        }
        self.attempts.addresses.refund(&self.address);
    }

    /// Nothing was tried.
    pub(crate) fn withdrawn(self) {
        if let Some(pair) = &self.pair {
            self.attempts.pairs.refund(pair);
        }
        if let Some(account) = &self.account {
            self.attempts.accounts.refund(account);
        }
        self.attempts.addresses.refund(&self.address);
    }
}

/// What one person can change within is one address: the lower half of IPv6 addresses.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:016x}::/64", address.to_bits() >> 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn address(number: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, number])
    }

    #[test]
    fn guessing_gets_slower_however_the_name_is_spelled() {
        let (attempts, mut now) = (Attempts::default(), Instant::now());
        for _ in 0..6 {
            attempts.begin(Some("Bob "), HOME, now).unwrap();
        }
        let refused = attempts.begin(Some("bob"), HOME, now).err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(2)));
        now += Duration::from_secs(1);
        attempts.begin(Some("bob"), HOME, now).unwrap();
        let refused = attempts.begin(Some("bob"), HOME, now).err().unwrap();
        assert_eq!(refused.retry_after, Some(3));
        attempts.begin(Some("alice"), HOME, now).unwrap().withdrawn();
    }

    #[test]
    fn strangers_everywhere_slow_each_other_but_not_who_was_here() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let begin = |from| attempts.begin(Some("bob"), from, now);
        begin(HOME).unwrap().succeeded();
        for number in 0..21 {
            begin(address(number)).unwrap();
        }
        assert!(begin(address(99)).is_err());
        begin(HOME).unwrap().succeeded();
        // Coming in from one place lifts no pause of the others.
        assert!(begin(address(99)).is_err());
    }

    #[test]
    fn one_address_does_not_try_every_account() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let begin = |name: &str, from| attempts.begin(Some(name), from, now);
        for number in 0..51 {
            begin(&format!("user{number}"), HOME).unwrap();
            // An account of their own does not help.
            begin("own", HOME).map(Attempt::succeeded).ok();
        }
        assert!(begin("fresh", HOME).is_err());
        assert!(attempts.begin(None, HOME, now).is_err());
        assert!(begin("fresh", address(1)).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
