//! What queries mean.

use search::{Mark, Node};

use crate::{parse, show};

#[track_caller]
fn check(text: &str, expected: &str) {
    let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(query.node.as_ref().map(show).unwrap_or_default(), expected, "{text}");
}

#[test]
fn words_phrases_and_prefixes() {
    check("", "");
    check("   ", "");
    check("Invoice", "invoice");
    check("invoice due", "all(invoice due)");
    check("\"Due date\"", "due+date");
    check("“due date”", "due+date");
    check("inv*", "inv*");
    check("\"due da*\"", "due+da*");
    check("\"due da\"*", "due+da*");
    check("john.doe@example.com", "john+doe+example+com");
    check("john.do*", "john+do*");
    check("don't - & stop", "all(don+t stop)");
    check("日", "日*");
    check("日本語", "日本+本語");
    check("日本*", "日本");
    check("\"日本語 is\"", "日本+本語+語+is");
    check("x日本", "x+日本");
}

#[test]
fn and_or_not_and_parentheses() {
    check("a OR b", "any(a b)");
    check("a b OR c d", "any(all(a b) all(c d))");
    check("a AND b", "all(a b)");
    check("a (b OR c)", "all(a any(b c))");
    check("a -b", "all(a not(b))");
    check("NOT a", "not(a)");
    check("-(a b)", "not(all(a b))");
    check("-\"a b\"", "not(a+b)");
    check("a or b", "all(a or b)");
    check("well-known", "well+known");
    check("((a))", "a");
}

#[test]
fn fields() {
    check("subject:invoice", "subject:invoice");
    check("Subject:\"due date\"", "subject:due+date");
    let expected = "any(subject:a all(subject:b+c not(subject:d)))";
    check("subject:(a OR \"b c\" -d)", expected);
    check("body:x from:ann to:bo*", "all(body:x from:ann to:bo*)");
    check("from:Ann@Example.com", Mark::from_address("ann@example.com").as_str());
    check("to:\"Ann <ann@example.com>\"", Mark::to_address("ann@example.com").as_str());
    check("from:@example.com", Mark::from_domain("EXAMPLE.com").as_str());
    let (from, to) = (Mark::from_domain("example.com"), Mark::to_domain("example.com"));
    check("domain:example.com", &format!("any({} {})", from.as_str(), to.as_str()));
    check("from-domain:example.com", from.as_str());
    check("to-domain:@example.com.", to.as_str());
    check("folder:inbox/claims/", Mark::folder("Inbox/Claims").as_str());
    check("has:attachment", "_att");
    check("filename:\"annual report\"", "name:_nannual+_nreport");
    check("thread:\"AAQk=\"", Mark::thread("AAQk=").as_str());
    check("source:proj/src -project:proj", "all(_s00000000000000aa not(_p00000000000000bb))");
    check("subject:OR", "subject:or");
    check("re: x", "all(re x)");
    check("http://example.com/a", "http+example+com+a");
    check("\"form:ann\"", "form+ann");
}

#[test]
fn properties() {
    let named = [Mark::property("string:Case Id"), Mark::property("number:Case Id")];
    check("prop:\"case id\"", &format!("any({} {})", named[0].as_str(), named[1].as_str()));
    let text = Mark::text_property("string:State", "open now");
    check("prop:State=\"Open  now\"", text.as_str());
    let (text, number) =
        (Mark::text_property("string:Score", "5.0"), Mark::number_property("number:score", 5.0));
    check("property:\"Score\"=5.0", &format!("any({} {})", text.as_str(), number.as_str()));
    let (text, number) =
        (Mark::text_property("string:Score", "-5"), Mark::number_property("number:score", -5.0));
    check("prop:Score=-5", &format!("any({} {})", text.as_str(), number.as_str()));
    check("a=b", "a+b");
    check("a>=5", "a+5");
}

#[test]
fn ranges_of_numbers() {
    let name = "number:Case Size";
    for (text, least, most) in [
        ("prop:\"case size\">=5", Some(5.0), None),
        ("prop:\"case size\">-5.5", Some((-5.5_f64).next_up()), None),
        ("prop:\"Case Size\"<=\"5\"", None, Some(5.0)),
        ("prop:\"Case Size\"<0", None, Some(-5e-324)),
    ] {
        check(text, &show(&Node::number_between(name, least, most)));
    }
    check(
        "prop:a>=1 b",
        &show(&Node::All(vec![
            Node::number_between("number:a", Some(1.0), None),
            parse("b").unwrap().node.unwrap(),
        ])),
    );
    let most: String = (0..8).map(|number| format!("prop:a>{number} ")).collect();
    assert!(parse(&most).is_ok());
    let error = parse(&format!("{most} prop:a>8")).unwrap_err();
    assert_eq!(error.message, "a query compares at most 8 numbers");
}

#[test]
fn times() {
    let query = parse("after:2026-01-31 x before:2026-03").unwrap();
    assert_eq!(query.from.unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
    assert_eq!(query.to.unwrap().to_rfc3339(), "2026-03-01T00:00:00+00:00");
    assert_eq!(query.node.as_ref().map(show).as_deref(), Some("x"));
    let query = parse("after:2026 after:2025 (before:2026-05-01T08:00:00+02:00)").unwrap();
    assert_eq!(query.from.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
    assert_eq!(query.to.unwrap().to_rfc3339(), "2026-05-01T06:00:00+00:00");
    assert_eq!(query.node, None);
}
