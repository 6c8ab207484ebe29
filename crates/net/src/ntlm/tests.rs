//! The published vectors, and both sides against each other.

use record::Secret;

use super::{
    client::{Response, lm_response},
    crypto::{response_key, utf16},
    wire::{av, push_pair},
    *,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const SERVER_NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const NONCE: [u8; 8] = [0xaa; 8];

// MS-NLMP §4.2.4.1.1
#[test]
fn response_key_matches_the_published_vector() {
    let key = response_key("User", "Domain", "Password").unwrap();
    assert_eq!(hex(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
}

// MS-NLMP §4.2.4.2.1, §4.2.4.2.2, §4.2.4.1.2
#[test]
fn responses_match_the_published_vectors() {
    let key = response_key("User", "Domain", "Password").unwrap();
    let mut pairs = Vec::new();
    push_pair(&mut pairs, av::DOMAIN, &utf16("Domain")).unwrap();
    push_pair(&mut pairs, av::COMPUTER, &utf16("Server")).unwrap();
    push_pair(&mut pairs, av::END, &[]).unwrap();
    let response = Response::compute(&key, SERVER_NONCE, NONCE, [0; 8], &pairs).unwrap();
    assert_eq!(hex(&response.bytes[..16]), "68cd0ab851e51c96aabc927bebef6a1c");
    assert_eq!(hex(&response.session_key), "8de40ccadbc14a82f15cb0ad0de95ca3");
    assert_eq!(
        hex(&response.bytes[16..]),
        "01010000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069006e00\
         01000c005300650072007600650072000000000000000000"
    );
    assert_eq!(
        hex(&lm_response(&key, SERVER_NONCE, NONCE).unwrap()),
        "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"
    );
}

fn acceptor() -> Acceptor {
    Acceptor { domain: "EXAMPLE".into(), computer: "MAIL".into(), host: "mail.example.com".into() }
}

fn pending() -> Pending {
    acceptor().challenge(&negotiate(), SERVER_NONCE, 132_000_000_000_000_000).unwrap()
}

fn answer(pending: &Pending, user: &str, password: &str, binding: Option<[u8; 16]>) -> Vec<u8> {
    let password = Secret::from(password);
    let credentials =
        Credentials { user, password: &password, target: "HTTP/mail.example.com", binding };
    authenticate(pending.challenge(), &credentials, NONCE, 0).unwrap()
}

fn hunter2(_: &Account) -> Option<Secret> {
    Some(Secret::from("hunter2 é"))
}

#[test]
fn right_password_is_accepted_with_its_binding_and_integrity_code() {
    let pending = pending();
    let hash = binding_hash(b"tls-server-end-point:abc").unwrap();
    let accepted =
        pending.verify(&answer(&pending, r"EXAMPLE\Ana", "hunter2 é", Some(hash)), hunter2);
    let account = Account { domain: "EXAMPLE".into(), user: "Ana".into() };
    assert_eq!(accepted.unwrap(), Accepted { account, binding: Binding::Hash(hash), mic: true });
}

#[test]
fn address_as_user_goes_with_an_empty_domain() {
    let pending = pending();
    let accepted =
        pending.verify(&answer(&pending, "ana@example.com", "hunter2 é", None), hunter2).unwrap();
    assert_eq!(accepted.account, Account { domain: "".into(), user: "ana@example.com".into() });
    assert_eq!(accepted.binding, Binding::Absent);
}

#[test]
fn zero_binding_is_told_apart() {
    let pending = pending();
    let message = answer(&pending, "ana", "hunter2 é", Some([0; 16]));
    assert_eq!(pending.verify(&message, hunter2).unwrap().binding, Binding::Zero);
}

#[test]
fn wrong_password_and_unknown_account_are_refused_alike() {
    let pending = pending();
    let message = answer(&pending, "ana", "hunter3", None);
    for password_of in [hunter2, |_: &Account| None] {
        let refused = pending.verify(&message, password_of);
        assert!(matches!(refused, Err(NtlmError::WrongPassword)), "{refused:?}");
    }
}

#[test]
fn answer_to_another_challenge_is_refused() {
    let other = acceptor().challenge(&negotiate(), [7; 8], 0).unwrap();
    let message = answer(&other, "ana", "hunter2 é", None);
    assert!(matches!(pending().verify(&message, hunter2), Err(NtlmError::WrongPassword)));
}

#[test]
fn changed_message_fails_its_integrity_code() {
    let pending = pending();
    let mut message = answer(&pending, "ana", "hunter2 é", None);
    // The version field: covered by the code only.
    message[65] ^= 1;
    assert!(matches!(pending.verify(&message, hunter2), Err(NtlmError::WrongMic)));
}

#[test]
fn no_message_cut_or_changed_anywhere_makes_a_panic() {
    let pending = pending();
    let good = answer(&pending, r"EXAMPLE\ana", "hunter2 é", None);
    let password = Secret::from("hunter2 é");
    let credentials =
        Credentials { user: "ana", password: &password, target: "HTTP/x", binding: None };
    let challenge = pending.challenge();
    for cut in 0..good.len() {
        pending.verify(&good[..cut], hunter2).unwrap_err();
        let mut changed = good.clone();
        changed[cut] = 0xff;
        drop(pending.verify(&changed, hunter2));
    }
    for cut in 0..challenge.len() {
        drop(authenticate(&challenge[..cut], &credentials, NONCE, 0));
        let mut changed = challenge.to_vec();
        changed[cut] = 0xff;
        drop(authenticate(&changed, &credentials, NONCE, 0));
        drop(acceptor().challenge(&negotiate()[..cut.min(40)], NONCE, 0));
    }
}

#[test]
fn sharp_s_stays_as_it_is_in_upper_case() {
    let one = response_key("straße", "", "x").unwrap();
    assert_eq!(one, response_key("STRAßE", "", "x").unwrap());
    assert_ne!(one, response_key("STRASSE", "", "x").unwrap());
}

#[test]
fn file_time_counts_from_1601() {
    let at = DateTime::from_timestamp(0, 500).unwrap();
    assert_eq!(file_time(at), 116_444_736_000_000_005);
}
