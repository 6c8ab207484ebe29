//! Writes items and folders as elements, in the order that the schema prescribes.

mod folder;
mod item;

use super::{
    fault::{Fault, Forbidden, Place},
    id::change_key,
    mailbox::Mailbox,
    shape::Extended,
    xml::Xml,
};

pub(crate) use folder::folder;
pub(crate) use item::{View, attachment, item, mapi};

const RIGHTS: &str = "<t:EffectiveRights><t:CreateAssociated>true</t:CreateAssociated>\
    <t:CreateContents>true</t:CreateContents><t:CreateHierarchy>true</t:CreateHierarchy>\
    <t:Delete>true</t:Delete><t:Modify>true</t:Modify><t:Read>true</t:Read></t:EffectiveRights>";

/// Writes what XML forbids.
pub(crate) fn forbidden(xml: &mut Xml, what: Forbidden) {
    match what {
        Forbidden::Reference(number) => {
            xml.raw(&format!("&#x{number:X};"));
        }
        Forbidden::Byte(byte) => xml.0.push(byte),
    }
}

/// Writes `<name>value</name>`, with what XML forbids in its middle if a fault says so.
fn spoiled(xml: &mut Xml, name: &str, value: &str, place: Place, faults: &[Fault]) {
    xml.raw("<").raw(name).raw(">");
    let mut cut = value.len() / 2;
    while !value.is_char_boundary(cut) {
        cut -= 1;
    }
    let (start, end) = value.split_at(cut);
    xml.text(start);
    for fault in faults {
        if let Fault::ForbiddenCharacters { place: own, what } = fault
            && *own == place
        {
            forbidden(xml, *what);
        }
    }
    xml.text(end).raw("</").raw(name).raw(">");
}

fn open_id(xml: &mut Xml, name: &str, id: &str, version: u32) {
    xml.raw("<").raw(name).attribute("Id", id).attribute("ChangeKey", &change_key(version));
    xml.raw("/>");
}

pub(crate) fn item_id(xml: &mut Xml, mailbox: &Mailbox, no: u64, version: u32) {
    open_id(xml, "t:ItemId", &mailbox.item_id(no), version);
}

fn extended(xml: &mut Xml, property: &Extended, value: &str) {
    xml.raw("<t:ExtendedProperty><t:ExtendedFieldURI");
    for (name, value) in &property.attributes {
        xml.attribute(name, value);
    }
    xml.raw("/>").element("t:Value", value).raw("</t:ExtendedProperty>");
}
