//! What people are told about a query that cannot be understood.

use expect_test::{Expect, expect};

use crate::parse;

fn check(table: &[&str], expected: Expect) {
    let mut shown = String::new();
    for text in table {
        let error = parse(text).err().map(|error| {
            let about: String = text.chars().skip(error.start).take(error.length).collect();
            format!("{error} [{about}]")
        });
        shown.push_str(&format!("{text}\n    {}\n", error.as_deref().unwrap_or("fine")));
    }
    expected.assert_eq(&shown);
}

#[test]
fn every_mistake_is_named_where_it_is() {
    check(
        &[
            "a \"b c",
            "a (b OR c",
            "a) b",
            "()",
            "a OR",
            "OR a",
            "a AND",
            "AND a",
            "a OR OR b",
            "-",
            "a -(b OR)",
            "NOT",
            "😀",
            "\"😀\"",
            "subject:😀",
            "subject:",
            "subject: -",
            "from:(a OR to:b)",
            "form:ann",
            "a*",
            "a fo*o",
            "**",
            "has:picture",
            "after:yesterday",
            "a OR after:2026",
            "-after:2026",
            "source:proj/none",
            "project:none",
            "folder:In*",
            "prop:",
            "prop:x=",
            "prop:x>",
            "prop:x>= 5",
            "prop:x<y",
            "domain:\"\"",
            "after:(2026)",
        ],
        expect![[r#"
            a "b c
                at character 3: the quotation mark is not closed ["]
            a (b OR c
                at character 3: the parenthesis is not closed [(]
            a) b
                at character 2: nothing is open that this closes [)]
            ()
                at character 1: the parentheses are empty [(]
            a OR
                at character 3: `OR` stands between two things to look for [OR]
            OR a
                at character 1: `OR` stands between two things to look for [OR]
            a AND
                at character 3: `AND` stands between two things to look for [AND]
            AND a
                at character 1: `AND` stands between two things to look for [AND]
            a OR OR b
                at character 3: `OR` stands between two things to look for [OR]
            -
                at character 1: there is no letter and no digit to look for [-]
            a -(b OR)
                at character 7: `OR` stands between two things to look for [OR]
            NOT
                at character 1: something to leave out must follow [NOT]
            😀
                at character 1: there is no letter and no digit to look for [😀]
            "😀"
                at character 1: there is no letter and no digit to look for ["😀"]
            subject:😀
                at character 9: there is no letter and no digit to look for [😀]
            subject:
                at character 1: a value must follow `subject:` [subject:]
            subject: -
                at character 10: there is no letter and no digit to look for [-]
            from:(a OR to:b)
                at character 12: a field cannot stand within that of another [to:]
            form:ann
                at character 1: `form` is no field; did you mean `from`? In quotation marks it is text [form:ann]
            a*
                at character 1: at least two letters or digits must stand before `*` [a*]
            a fo*o
                at character 3: a `*` can only stand at the end of a word [fo*o]
            **
                at character 1: there is no letter and no digit to look for [**]
            has:picture
                at character 5: `has:` is followed by `attachment` [picture]
            after:yesterday
                at character 7: this is no time; write `2026-01-31` or `2026-01-31T08:00:00Z` [yesterday]
            a OR after:2026
                at character 12: times cannot stand in an alternative, in parentheses or behind a minus [2026]
            -after:2026
                at character 8: times cannot stand in an alternative, in parentheses or behind a minus [2026]
            source:proj/none
                at character 8: the source `proj/none` was not found; write `project/name` [proj/none]
            project:none
                at character 9: the project `none` was not found [none]
            folder:In*
                at character 8: this field is compared as a whole, without `*` [In*]
            prop:
                at character 1: a value must follow `prop:` [prop:]
            prop:x=
                at character 7: a value must follow `=` [=]
            prop:x>
                at character 7: a value must follow `>` [>]
            prop:x>= 5
                at character 7: a value must follow `>=` [>=]
            prop:x<y
                at character 7: a number must follow `<` [<]
            domain:""
                at character 8: the value is empty [""]
            after:(2026)
                at character 1: a value must follow `after:` [after:]
        "#]],
    );
}

#[test]
fn what_is_too_much_is_refused() {
    let many: Vec<String> = (0..65).map(|number| format!("w{number}")).collect();
    let deep = format!("{}a{}", "(".repeat(17), ")".repeat(17));
    let phrase = format!("\"{}\"", "a ".repeat(33));
    for (text, expected) in [
        (many.join(" "), "at character 247: a query has at most 64 words, phrases and fields"),
        (deep, "at character 17: this is nested more than 16 deep"),
        (phrase, "at character 1: a phrase has at most 32 words"),
        ("é".repeat(4097), "at character 4097: a query has at most 4096 characters"),
    ] {
        assert_eq!(parse(&text).unwrap_err().to_string(), expected);
    }
}
