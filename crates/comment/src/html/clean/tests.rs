use super::*;

#[track_caller]
fn check(html: &str, expected: &str) {
    assert_eq!(page(html, false).unwrap().html, expected, "{html}");
}

fn page(html: &str, remote: bool) -> Result<Page, TooMuch> {
    let mut picture = |url: &str| (url == "cid:logo@x").then(|| "data:image/png;base64,AA".into());
    let mut cleaner = Cleaner::new(remote, &mut picture);
    cleaner.add(html)?;
    Ok(cleaner.finish())
}

#[test]
fn what_mail_programs_write_stays() {
    check(
        "<html><body bgcolor=#ffeedd><p class=MsoNormal style='color:red'>Hello<br><b>you</b></p>",
        "<div style=\"background-color:#ffeedd;\"><p style=\"margin:0;color:red;\">\
         Hello<br><b>you</b></p></div>",
    );
    check(
        "<a href='https://example.com/?a=1&amp;b=2' onclick=x>y</a>",
        "<a href=\"https://example.com/?a=1&amp;b=2\" target=\"_blank\" \
         rel=\"noopener noreferrer nofollow\">y</a>",
    );
    check("a &lt;b&gt; &amp; \"c\"", "a &lt;b&gt; &amp; &quot;c&quot;");
}

#[test]
fn elements_end_where_browsers_end_them() {
    check("<p><b>a<p>b", "<p><b>a</b></p><p>b</p>");
    check("<ul><li>a<li>b</ul>c", "<ul><li>a</li><li>b</li></ul>c");
    check("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>");
    check(
        "<table><tr><td>a<td>b<tr><th>c</table>d",
        "<table><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></table>d",
    );
    check(
        "<table><tr><td></div></p><table></table>x</table>",
        "<table><tr><td><table></table>x</td></tr></table>",
    );
    check("<table><table>", "<table></table><table></table>");
    check("<td>a</td><tr>b", "ab");
    check("<div><b>a</div>b</b></br></img>", "<div><b>a</b></div>b");
    check(
        "<a href=//x><a href=tel:1>b",
        "<a></a><a href=\"tel:1\" target=\"_blank\" \
         rel=\"noopener noreferrer nofollow\">b</a>",
    );
    check(
        "<hr><col><table><colgroup><col><col></table>",
        "<hr><table><colgroup><col><col></colgroup></table>",
    );
}

#[test]
fn nothing_else_comes_out() {
    for html in [
        "<script>x</script>",
        "<style>@import 'https://x';</style>",
        "<svg><desc><style><a title='</style><img src=x onerror=x>'></style></svg>",
        "<math><mtext><mglyph><style><!--</style><img title='--><img src=x onerror=x>'>",
        "<noscript><p title='</noscript><img src=x onerror=x>'>",
        "<iframe srcdoc='<script>x</script>'></iframe>",
        "<template><script>x</script></template>",
        "<form action=x><input autofocus onfocus=x><button formaction=x>",
        "<base href=//x><meta http-equiv=refresh content='0;url=//x'><link rel=stylesheet href=//x>",
        "<img src=x onerror=x><img/src='x'/onerror=x><img src=\"x\"onerror=x>",
        "<video poster=//x><source src=//x><audio src=//x><track src=//x><embed src=//x>",
        "<object data=//x><param name=movie value=//x></object><applet code=x>",
        "<table background=//x><td background=//x><body background=//x onload=x>",
        "<img srcset='//x 1x' lowsrc=//x dynsrc=//x><input type=image src=//x>",
        "<a href=javascript:x><a href='java&#10;script:x'><a href=&#1;javascript:x>",
        "<a href='data:text/html,x'><a href=vbscript:x><a href=file:///x><a href=x><a href=#x>",
        "<a ping=//x download=x id=x name=x href=ftp://x>",
        "<p style='background:url(//x)'><p style=\"width:expression(x)\"><p style='color:u\\72l(x)'>",
        "<p style='behavior:url(x);-moz-binding:url(x);border-image:url(x);cursor:url(x)'>",
        "<p style='position:fixed;background-image:image-set(\"//x\" 1x);content:\"x\"'>",
        "<plaintext><xmp><listing><isindex><keygen><marquee onstart=x><blink>",
        "<![CDATA[<script>x</script>]]><?xml x><!doctype x><!--[if mso]><script>x</script><![endif]-->",
    ] {
        let html = page(html, false).unwrap().html;
        let tags = Tokens::new(&html).filter_map(|token| match token {
            Token::Open { name, attributes } => Some((name, attributes)),
            _ => None,
        });
        for (name, attributes) in tags {
            assert!(allowed::element(name).is_some(), "{html}");
            for (name, value) in Attributes::new(attributes) {
                assert!(matches!(name, "title" | "alt"), "{name}={value} of {html}");
            }
        }
    }
}

/// The list of what is allowed cannot say what must not be on it.
#[test]
fn elements_that_load_run_send_or_change_how_the_rest_is_read_are_never_written() {
    for name in "script style svg math template noscript iframe frame frameset object embed applet \
                 param link meta base title textarea plaintext xmp listing form input button select \
                 option video audio source track canvas dialog slot portal"
        .split_whitespace()
    {
        for html in [format!("<{name} src=//x>a</{name}>b"), format!("<{name}/>"), format!("</{name}>")]
        {
            let shown = page(&html, true).unwrap().html;
            assert!(!shown.contains('<'), "{html}: {shown}");
        }
    }
    check("<script>x</script><style>x</style>y", "y");
}

#[test]
fn what_is_written_is_plain_and_bounded() {
    check("a\u{1}b\u{7f}`", "ab&#96;");
    check("<p title='a`\u{2}\"'>", "<p title=\"a&#96;&quot;\"></p>");
    check("<p title=1 title=2>", "<p title=\"1\"></p>");
    check(
        &format!("<p title={}>", "x".repeat(1_001)),
        &format!("<p title=\"{}\"></p>", "x".repeat(1_000)),
    );
    check(
        "<table><tr><td colspan=70000 rowspan=x>",
        "<table><tr><td colspan=\"1000\" rowspan=\"1\"></td></tr></table>",
    );
    let link = |target: &str| page(&format!("<a href=\"{target}\">"), false).unwrap().html;
    assert!(link(" \u{1}https://exam\nple.com/ ").starts_with("<a href=\"https://example.com/\""));
    for target in
        ["https://x\\y", "https://x\u{1}y", "https://", &format!("https://{}", "x".repeat(20_000))]
    {
        assert_eq!(link(target), "<a></a>", "{target}");
    }
    let mut asked = 0;
    let mut picture = |_: &str| {
        asked += 1;
        None
    };
    let mut cleaner = Cleaner::new(false, &mut picture);
    cleaner
        .add(&format!("<img src=cid:{}><img src=cid:{}>", "x".repeat(1_025), "x".repeat(1_024)))
        .unwrap();
    assert_eq!((cleaner.finish().html.as_str(), asked), ("<img><img>", 1));
}

#[test]
fn pictures_of_the_message_are_shown_and_others_are_counted() {
    let html = "<img src=cid:logo%40x alt=a><img src=cid:none><img src=http://x/y.png>\
                <img src='//x/z'><img src=https://x/a><img src=ftp://x>";
    let blocked = page(html, false).unwrap();
    assert_eq!((blocked.pictures, blocked.blocked), (1, 3));
    assert_eq!(
        blocked.html,
        "<img src=\"data:image/png;base64,AA\" alt=\"a\"><img><img><img><img><img>"
    );
    let shown = page(html, true).unwrap();
    assert_eq!(shown.blocked, 0);
    let own = " referrerpolicy=\"no-referrer\" loading=\"lazy\"";
    assert!(shown.html.contains(&format!("<img src=\"https://x/y.png\"{own}>")));
    assert!(!shown.html.contains("http:") && !shown.html.contains("ftp"));
}

#[test]
fn declarations_are_taken_one_by_one() {
    let check = |css: &str, expected: &str| assert_eq!(style::clean(css), expected, "{css}");
    check(
        "COLOR: #fff; font-family:\"Segoe UI\",'Arial' ; line-height:1.5!important;mso-x:y",
        "color:#fff;font-family:\"Segoe UI\",'Arial';line-height:1.5!important;",
    );
    check("background:rgb(1, 2, 3);font:12px/1.2 a", "background:rgb(1, 2, 3);font:12px/1.2 a;");
    check("font-family:'a;b';color:red", "color:red;");
    check("color:rgb(1;width:1px", "width:1px;");
    check("color:rgb(url(x));border:1px url(x);background:\u{75}\u{72}\u{6c}(x)", "");
    check("color:red/*;width:1px*/;height:1px", "height:1px;");
    check("color:;:red;color;width:}x{;margin:<!--", "");
    check("color:\\72 ed;color:@x;border-image:1;border-image-source:none;width:1px", "width:1px;");
    check(&"a:b;".repeat(100), "");
    check(&format!("{}color:red", "a:b;".repeat(99)), "color:red;");
    check(&format!("{}color:red", "a:b;".repeat(100)), "");
}

#[test]
fn too_much_is_told() {
    assert_eq!(page(&"<div>".repeat(501), false), Err(TooMuch::Deep));
    assert!(page(&"<div>".repeat(500), false).is_ok());
    assert_eq!(page(&"<br>".repeat(100_001), false), Err(TooMuch::Large));
    // What is not closed is not within each other.
    assert!(page(&"<p><li><tr>".repeat(20_000), false).is_ok());
}

#[test]
fn cleaning_takes_time_in_proportion() {
    // Each of these would take minutes if one step cost as much as the whole.
    let deep = "<b>".repeat(499) + &"</i><p>".repeat(80_000);
    for html in [
        deep,
        "<a href=\"".repeat(100_000),
        "<a href='https://x".to_owned() + &"&amp;".repeat(200_000),
        format!("<p style=\"{}\">", "color:rgb(".repeat(100_000)),
        format!("<p {}>", "style=x ".repeat(120_000)),
        "<svg>".repeat(200_000),
        "</p>".repeat(250_000),
    ] {
        let done = page(&html, false);
        assert!(done.is_ok() || done == Err(TooMuch::Deep), "{}", html.len());
    }
}

#[test]
fn what_is_clean_stays_as_it_is() {
    let html = page("<p><b>a<table><tr><td>b<ul><li>c &amp; d<hr>\u{e9}'\"`", false).unwrap().html;
    assert_eq!(page(&html, false).unwrap().html, html);
}
