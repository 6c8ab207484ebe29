//! Any bytes become one comment within the limits of the API, and its attachments can be read.
#![no_main]

use std::io::Read;

use comment::{Delivery, Transform, convert};
use record::Metadata;

/// Characters of a text, nodes of its markup, attachments of a comment.
const LIMITS: (usize, usize, usize) = (65_536, 4_096, 128);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let metadata = Metadata::default();
    let delivery = Delivery {
        email_id: "<a@example.com>",
        mailbox: "a@example.com",
        timestamp: chrono::DateTime::UNIX_EPOCH,
        metadata: &metadata,
        listed: &[],
    };
    for (tag, _) in Transform::TAGS {
        let transform = Transform::from_tag(tag).expect("a tag of the list");
        let converted = convert(data, &delivery, &transform);
        let comment = &converted.comment;
        assert!(comment.attachments.len() <= LIMITS.2 && converted.files.len() <= LIMITS.2);
        for message in &comment.messages {
            let signature = message.signature.iter();
            for content in std::iter::once(&message.body).chain(signature).chain(&message.subject) {
                let chars = content.text.chars().count();
                let bytes = content.text.encode_utf16().count() * 2;
                assert!(chars <= LIMITS.0 && !content.text.contains('\0'));
                let nodes = content.text_markup.iter().flatten();
                assert!(nodes.clone().count() <= LIMITS.1);
                for node in nodes {
                    let span = node.span;
                    assert!(span.char_start <= span.char_end && span.char_end <= chars);
                    assert!(span.utf16_byte_start <= span.utf16_byte_end);
                    assert!(span.utf16_byte_end <= bytes);
                }
            }
        }
        for (file, attachment) in converted.files.iter().zip(&comment.attachments) {
            let mut content = Vec::new();
            file.reader(data).read_to_end(&mut content).expect("no input is refused");
            assert_eq!(content.len() as u64, attachment.size);
        }
    }
});
