//! What generated mail says, in several languages. Roles and example domains, no people.

/// One language, with the character sets that its mail comes in.
pub(super) struct Language {
    pub(super) charsets: &'static [&'static str],
    pub(super) subjects: &'static [&'static str],
    pub(super) greetings: &'static [&'static str],
    pub(super) sentences: &'static [&'static str],
    pub(super) closings: &'static [&'static str],
    /// What stands above a quoted message; `{}` is the sender.
    pub(super) wrote: &'static str,
    /// Marks of a reply in a subject.
    pub(super) reply: &'static str,
}

/// Sender and recipient roles: display name and local part.
pub(super) const ROLES: &[(&str, &str)] = &[
    ("Accounts Payable", "accounts"),
    ("Claims Team", "claims"),
    ("Service Desk", "servicedesk"),
    ("Warehouse North", "warehouse.north"),
    ("Müller & Söhne GmbH", "buchhaltung"),
    ("Atención al Cliente", "clientes"),
    ("Direction des Achats", "achats"),
    ("Отдел продаж", "sales"),
    ("Orders, EMEA", "orders.emea"),
    ("Legal", "legal"),
    ("Facilities", "facilities"),
    ("", "noreply"),
    ("Reservations \"Main Desk\"", "desk"),
    ("サポート", "support"),
];

pub(super) const DOMAINS: &[&str] =
    &["example.org", "example.net", "mail.example.net", "shop.example.org", "example.com"];

/// English is taken most often, hence it comes several times.
pub(super) const LANGUAGES: &[&Language] =
    &[&ENGLISH, &ENGLISH, &ENGLISH, &GERMAN, &FRENCH, &SPANISH, &RUSSIAN, &JAPANESE, &CHINESE];

static ENGLISH: Language = Language {
    charsets: &["us-ascii", "utf-8", "iso-8859-1", "windows-1252"],
    subjects: &[
        "Invoice overdue",
        "Change of address for policy",
        "Meeting minutes and next steps",
        "Delivery delayed",
        "Question about order",
        "Access to the shared folder",
        "Quarterly figures",
        "Complaint about a damaged parcel",
        "Cancellation request",
        "Contract renewal",
        "Out of office until Monday",
        "Reminder: timesheets",
    ],
    greetings: &["Hello,", "Hi all,", "Dear team,", "Good morning,", "To whom it may concern,"],
    sentences: &[
        "Please find attached the documents that we discussed on the phone yesterday.",
        "We have not received the payment for the invoice that was due at the end of last month.",
        "Could you let us know by Thursday whether the new delivery date works for you?",
        "The parcel arrived this morning, but two of the six boxes were damaged.",
        "I have moved the meeting to room 4, since the projector in room 2 is still broken.",
        "Our policy number is on the first page of the attached letter.",
        "As agreed, the price stays the same if the order is confirmed before the 15th.",
        "The tracking page has shown the same status for five days now.",
        "I would like to cancel the subscription and get a confirmation in writing.",
        "Many thanks for the quick answer, that solved the problem.",
        "Please do not reply to this address, it is not monitored.",
        "We are still waiting for the signed copy of the contract.",
        "The figures for the third quarter are in the second sheet of the workbook.",
    ],
    closings: &["Kind regards", "Best wishes", "Thanks", "Yours sincerely"],
    wrote: "{} wrote:",
    reply: "Re: ",
};

static GERMAN: Language = Language {
    charsets: &["utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"],
    subjects: &[
        "Rückfrage zur Rechnung",
        "Liefertermin verschoben",
        "Kündigung des Vertrags",
        "Protokoll der Besprechung",
        "Änderung der Bankverbindung",
        "Schadensmeldung",
    ],
    greetings: &["Sehr geehrte Damen und Herren,", "Guten Tag,", "Hallo zusammen,"],
    sentences: &[
        "anbei erhalten Sie die gewünschten Unterlagen über die gestrige Besprechung.",
        "Die Lieferung ist leider unvollständig, es fehlen drei Stück der Größe L.",
        "Bitte überweisen Sie den offenen Betrag bis zum Ende des Monats.",
        "Könnten Sie uns bitte den Eingang der Kündigung schriftlich bestätigen?",
        "Der Zähler wurde am Dienstag abgelesen, der Stand weicht stark ab.",
        "Für Rückfragen stehen wir Ihnen jederzeit gern zur Verfügung.",
        "Wir bitten um Verständnis für die Verzögerung.",
    ],
    closings: &["Mit freundlichen Grüßen", "Viele Grüße", "Freundliche Grüße"],
    wrote: "Am Dienstag schrieb {}:",
    reply: "AW: ",
};

static FRENCH: Language = Language {
    charsets: &["utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"],
    subjects: &[
        "Facture impayée",
        "Réclamation concernant la livraison",
        "Résiliation du contrat",
        "Compte rendu de la réunion",
        "Demande de devis",
    ],
    greetings: &["Bonjour,", "Madame, Monsieur,", "Bonjour à tous,"],
    sentences: &[
        "Veuillez trouver ci-joint les pièces demandées lors de notre entretien.",
        "Nous n'avons pas encore reçu le règlement de la facture échue le mois dernier.",
        "Le colis est arrivé endommagé, vous trouverez les photos ci-dessous.",
        "Pourriez-vous nous confirmer la nouvelle date de livraison avant jeudi ?",
        "Je souhaite résilier mon abonnement à l'échéance prévue.",
        "Merci de votre réponse rapide, le problème est réglé.",
    ],
    closings: &["Cordialement", "Bien à vous", "Sincères salutations"],
    wrote: "{} a écrit :",
    reply: "RE: ",
};

static SPANISH: Language = Language {
    charsets: &["utf-8", "iso-8859-1", "windows-1252"],
    subjects: &[
        "Consulta sobre el pedido",
        "Reclamación por daños",
        "Factura pendiente",
        "Cita cancelada",
    ],
    greetings: &["Buenos días:", "Hola:", "Estimados señores:"],
    sentences: &[
        "Adjunto les envío la documentación que nos pidieron la semana pasada.",
        "El paquete llegó ayer, pero faltan dos artículos de la lista.",
        "¿Podrían confirmarnos si la dirección de envío es la correcta?",
        "La próxima reunión será el miércoles por la mañana en la sala pequeña.",
        "Quisiera anular la suscripción y recibir la confirmación por escrito.",
    ],
    closings: &["Un saludo", "Saludos cordiales", "Atentamente"],
    wrote: "{} escribió:",
    reply: "RE: ",
};

static RUSSIAN: Language = Language {
    charsets: &["utf-8", "koi8-r"],
    subjects: &["Счёт на оплату", "Вопрос по заказу", "Протокол совещания", "Задержка поставки"],
    greetings: &["Добрый день!", "Здравствуйте,", "Коллеги,"],
    sentences: &[
        "Направляем вам документы, о которых говорили вчера по телефону.",
        "Просим подтвердить получение товара и подписать акт.",
        "Оплата по договору до сих пор не поступила.",
        "Совещание переносится на четверг, начало в десять часов.",
    ],
    closings: &["С уважением", "Спасибо"],
    wrote: "{} пишет:",
    reply: "Re: ",
};

static JAPANESE: Language = Language {
    charsets: &["utf-8", "shift_jis"],
    subjects: &["ご注文の確認", "会議のお知らせ", "請求書の送付"],
    greetings: &["お世話になっております。", "皆様"],
    sentences: &[
        "会議の資料をお送りいたします。",
        "ご注文の商品は明日発送の予定です。",
        "ご確認のほど、よろしくお願いいたします。",
    ],
    closings: &["よろしくお願いいたします"],
    wrote: "{} のメール:",
    reply: "Re: ",
};

static CHINESE: Language = Language {
    charsets: &["utf-8", "gb18030"],
    subjects: &["订单确认", "会议通知", "发票问题"],
    greetings: &["您好,", "各位同事,"],
    sentences: &[
        "附件是昨天电话里提到的文件。",
        "货物已经收到,但是有两箱损坏。",
        "请在星期四之前确认新的交货日期。",
    ],
    closings: &["谢谢", "此致敬礼"],
    wrote: "{} 写道:",
    reply: "回复: ",
};
