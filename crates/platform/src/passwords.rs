//! Passwords: what is good enough for one, and its hash.
//!
//! argon2id with 19 MiB, two passes and one lane, the first choice of the "Password Storage Cheat
//! Sheet", OWASP. Two are computed at the same time, so that they take 38 MiB however many people
//! sign in, and the rest wait in a queue with an end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use hyper::StatusCode;
use openssl::rand::rand_bytes;
use record::Secret;
use store::User;
use tokio::{sync::Semaphore, time::timeout};

use crate::refusal::Refusal;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes that are computed at the same time, those that wait, and for how long.
const AT_ONCE: usize = 2;
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: u32 = 10;

/// Characters of a password. Spec: "Digital Identity Guidelines", NIST SP 800-63B-4, §3.1.1.2:
/// at least 8, at least 64 allowed; no rules about kinds of characters.
pub(crate) const MIN_LENGTH: usize = 12;
pub(crate) const MAX_LENGTH: usize = 256;
/// Different characters that it has at least.
const MIN_DIFFERENT: usize = 5;

/// Beginnings that everybody tries first, in lower case.
const COMMON: &[&str] = &[
    "password",
    "passw0rd",
    "123456789",
    "qwertyuiop",
    "iloveyou",
    "abcdefgh",
    "letmein",
    "welcome",
    "tributary",
    "changeme",
];

/// Hash of no password at all, with the parameters of today: what is compared when there is no
/// such user, so that it takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The queue before the processor.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    queue: Semaphore,
}

/// What a comparison told.
pub(crate) struct Verdict {
    pub(crate) is_right: bool,
    /// The same password hashed as it would be today, if it was hashed otherwise.
    pub(crate) renewed: Option<Secret>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), queue: Semaphore::new(AT_ONCE + WAITING) }
    }
}

impl Passwords {
    /// The hash of a password in PHC form, with salt and parameters.
    pub(crate) async fn hash(&self, password: Secret) -> Result<Secret, Refusal> {
        self.work(move || hash(&password)).await?
    }

    /// Compares a password with a hash. Without one it takes as long and is never right.
    pub(crate) async fn verify(
        &self,
        password: Secret,
        hashed: Option<Secret>,
    ) -> Result<Verdict, Refusal> {
        self.work(move || verify(&password, hashed.as_ref())).await?
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || Refusal::busy("too many people sign in at the same time", PAUSE);
        let _waiting = self.queue.try_acquire().map_err(|_| busy())?;
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work: whoever hangs up does not make room for one more.
            let _place = place;
            work()
        });
        done.await.map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!("A password could not be hashed: {error}");
    let message = "the server could not do this now; its log has the reason";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

fn argon2() -> Result<Argon2<'static>, Refusal> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| failed(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Secret) -> Result<Secret, Refusal> {
    let mut salt = [0; 16];
    rand_bytes(&mut salt).map_err(|error| failed(&error))?;
    let hash = argon2()?.hash_password_with_salt(password.reveal().as_bytes(), &salt);
    Ok(Secret::from(hash.map_err(|error| failed(&error))?.to_string()))
}

fn verify(password: &Secret, hashed: Option<&Secret>) -> Result<Verdict, Refusal> {
    let text = hashed.map_or(NOBODY, Secret::reveal);
    let parsed = PasswordHash::new(text).map_err(|error| failed(&error))?;
    let equal = argon2()?.verify_password(password.reveal().as_bytes(), &parsed).is_ok();
    let is_right = equal && hashed.is_some();
    let renewed = if is_right && is_dated(&parsed) { Some(hash(password)?) } else { None };
    Ok(Verdict { is_right, renewed })
}

/// Whether a hash is cheaper to guess than one of today.
fn is_dated(hash: &PasswordHash) -> bool {
    let Ok(params) = Params::try_from(hash) else { return true };
    hash.algorithm != Algorithm::Argon2id.ident()
        || params.m_cost() < MEMORY_KIB
        || params.t_cost() < PASSES
}

/// Refuses a password that is guessed early.
pub(crate) fn check(path: &str, password: &str, user: &User) -> Result<(), Refusal> {
    let weak = |why: &str| {
        let message = format!("`{path}`: {why}");
        Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
    };
    let length = password.chars().count();
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) {
        return weak(&format!("expected {MIN_LENGTH} to {MAX_LENGTH} characters"));
    }
    if password.chars().collect::<BTreeSet<char>>().len() < MIN_DIFFERENT {
        return weak(&format!("expected at least {MIN_DIFFERENT} different characters"));
    }
    let lower = password.to_lowercase();
    // What is left of a long password beside such a word may be long enough.
    let rest_is_short = |word: &str| {
        !word.is_empty()
            && lower.contains(word)
            && lower.replace(word, "").chars().count() < MIN_LENGTH / 2
    };
    let email = user.email.to_lowercase();
    let local = email.split('@').next().unwrap_or_default();
    let own = [user.username.to_lowercase(), email.clone(), local.to_owned()];
    if own.iter().any(|word| word.chars().count() > 3 && rest_is_short(word)) {
        return weak("it is little more than the user name or the email address");
    }
    if COMMON.iter().any(|word| rest_is_short(word)) {
        return weak("it is little more than a word that everybody tries first");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn user() -> User {
        User {
            id: "01".to_owned(),
            username: "roberta".to_owned(),
            email: "Bob.Miller@example.com".to_owned(),
            created_at: chrono::DateTime::default(),
            last_seen_at: None,
            disabled_at: None,
            global: BTreeSet::new(),
            projects: BTreeMap::new(),
            group_global: BTreeSet::new(),
            group_projects: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_guessed_early_is_refused_and_says_why() {
        for (password, why) in [
            ("short", "12 to 256"),
            ("elevenchars", "12 to 256"),
            (&"x".repeat(20), "different"),
            ("ababababababab", "different"),
            ("Roberta12345", "user name"),
            ("bob.miller2026", "user name"),
            ("bob.miller@example.com", "user name"),
            ("Password1234!", "everybody"),
            ("tributary2026", "everybody"),
        ] {
            let refused = check("password", password, &user()).unwrap_err();
            assert_eq!(refused.status, 422, "{password}");
            assert!(refused.message.starts_with("`password`: "), "{}", refused.message);
            assert!(refused.message.contains(why), "{password}: {}", refused.message);
            assert!(!refused.message.contains(password));
        }
        for good in [
            "correct horse battery",
            "ünïcödé ist gut",
            "password manager says hi",
            "日本語のながいあいことば",
        ] {
            check("password", good, &user()).unwrap();
        }
        check("password", &"abcdef".repeat(42), &user()).unwrap();
        assert!(check("password", &"abcdef".repeat(43), &user()).is_err());
    }

    #[tokio::test]
    async fn a_hash_is_of_its_password_only_and_never_the_same() {
        let passwords = Passwords::default();
        let right = || Secret::from("correct horse battery");
        let one = passwords.hash(right()).await.unwrap();
        let two = passwords.hash(right()).await.unwrap();
        assert!(one.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.reveal());
        assert_ne!(one, two);
        let verdict = passwords.verify(right(), Some(one.clone())).await.unwrap();
        assert!(verdict.is_right && verdict.renewed.is_none());
        let wrong = passwords.verify("correct horse batterx".into(), Some(one)).await.unwrap();
        assert!(!wrong.is_right);
        // Not even the empty password is that of nobody.
        for guess in ["", "A", "correct horse battery"] {
            assert!(!passwords.verify(guess.into(), None).await.unwrap().is_right);
        }
    }

    #[tokio::test]
    async fn a_cheaper_hash_is_replaced_when_its_password_is_at_hand() {
        let cheap = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8 * 1024, 1, 1, None).unwrap(),
        );
        let old = cheap.hash_password_with_salt(b"correct horse battery", &[7; 16]).unwrap();
        let old = Secret::from(old.to_string());
        let passwords = Passwords::default();
        let wrong = passwords.verify("wrong".into(), Some(old.clone())).await.unwrap();
        assert!(!wrong.is_right && wrong.renewed.is_none());
        let verdict = passwords.verify("correct horse battery".into(), Some(old)).await.unwrap();
        let renewed = verdict.renewed.unwrap();
        assert!(renewed.reveal().contains("m=19456,t=2"));
        let again = passwords.verify("correct horse battery".into(), Some(renewed)).await.unwrap();
        assert!(again.is_right && again.renewed.is_none());
    }

    #[test]
    fn nobody_costs_as_much_as_somebody() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
        assert!(!is_dated(&nobody));
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once() {
        let passwords = Passwords::default();
        let all = passwords.queue.try_acquire_many(66).unwrap();
        let refused = passwords.hash("correct horse battery".into()).await.unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(10)));
        drop(all);
        passwords.hash("correct horse battery".into()).await.unwrap();
    }
}
