//! Folders.

use super::{
    super::{
        fault::{Fault, Place},
        folder::{Folder, Kind},
        mailbox::Mailbox,
        shape::{FolderField, FolderShape},
        xml::{Xml, time},
    },
    RIGHTS, extended, open_id, spoiled,
};

/// Writes one folder.
pub(crate) fn folder(
    xml: &mut Xml,
    mailbox: &Mailbox,
    folder: &Folder,
    shape: &FolderShape,
    faults: &[Fault],
    digits: usize,
) {
    let name = folder.kind.element();
    xml.raw("<").raw(name).raw(">");
    open_id(xml, "t:FolderId", &mailbox.folder_id(folder.no), folder.version);
    for field in &shape.fields {
        match field {
            FolderField::ParentFolderId => {
                if let Some(parent) = folder.parent {
                    let version = mailbox.folders.get(&parent).map_or(1, |parent| parent.version);
                    open_id(xml, "t:ParentFolderId", &mailbox.folder_id(parent), version);
                }
            }
            FolderField::FolderClass => {
                if let Some(class) = &folder.class {
                    xml.element("t:FolderClass", class);
                }
            }
            FolderField::DisplayName => {
                spoiled(xml, "t:DisplayName", &folder.name, Place::DisplayName, faults);
            }
            FolderField::TotalCount => {
                xml.element("t:TotalCount", &folder.items.len().to_string());
            }
            FolderField::ChildFolderCount => {
                let count = mailbox.children(folder.no).count();
                xml.element("t:ChildFolderCount", &count.to_string());
            }
            FolderField::Extended => {
                for property in &shape.extended {
                    let value = match property.tag {
                        Some(0x670a) => time(folder.committed, digits),
                        Some(0x670b) => folder.left.to_string(),
                        Some(0x3001) => folder.name.clone(),
                        Some(0x3602) => folder.items.len().to_string(),
                        _ => continue,
                    };
                    extended(xml, property, &value);
                }
            }
            FolderField::EffectiveRights => {
                xml.raw(RIGHTS);
            }
            FolderField::DistinguishedFolderId => {
                if let Some(own) = folder.distinguished {
                    xml.element("t:DistinguishedFolderId", own);
                }
            }
            FolderField::PermissionSet => permissions(xml, folder.kind),
            FolderField::UnreadCount => {
                if !matches!(folder.kind, Kind::Calendar | Kind::Contacts) {
                    xml.element("t:UnreadCount", &folder.unread.to_string());
                }
            }
        }
    }
    xml.raw("</").raw(name).raw(">");
}

fn permissions(xml: &mut Xml, kind: Kind) {
    let prefix = if kind == Kind::Calendar { "Calendar" } else { "" };
    let read = if kind == Kind::Calendar { "TimeOnly" } else { "None" };
    xml.raw(&format!(
        "<t:PermissionSet><t:{prefix}Permissions><t:{prefix}Permission><t:UserId>\
         <t:DistinguishedUser>Default</t:DistinguishedUser></t:UserId>\
         <t:CanCreateItems>false</t:CanCreateItems>\
         <t:CanCreateSubFolders>false</t:CanCreateSubFolders>\
         <t:IsFolderOwner>false</t:IsFolderOwner><t:IsFolderVisible>false</t:IsFolderVisible>\
         <t:IsFolderContact>false</t:IsFolderContact><t:EditItems>None</t:EditItems>\
         <t:DeleteItems>None</t:DeleteItems><t:ReadItems>{read}</t:ReadItems>\
         <t:{prefix}PermissionLevel>{}</t:{prefix}PermissionLevel></t:{prefix}Permission>\
         </t:{prefix}Permissions></t:PermissionSet>",
        if kind == Kind::Calendar { "FreeBusyTimeOnly" } else { "None" },
    ));
}
