"""Reads a mailbox of the simulated Exchange with the official Microsoft Graph SDK and compares it
with the truth.

Argument: a JSON file with the address of the server, how to sign in, and what is true. Lines that
are printed for the test to act on begin with `do `; it answers with a line on standard input.
"""

import asyncio
import hashlib
import json
import sys
from urllib.parse import urlparse

from azure.identity import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.exchange_id_format import ExchangeIdFormat
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.users.item.translate_exchange_ids.translate_exchange_ids_post_request_body import (
    TranslateExchangeIdsPostRequestBody,
)
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem

task = json.load(open(sys.argv[1]))
truth = {item["immutable_id"]: item for item in task["truth"]}
IMMUTABLE = 'IdType="ImmutableId"'
KEY, SIZE = "Binary 0x300b", "Integer 0xe08"


def check(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")
    print(f"{what}: {got if isinstance(got, int) else 'as expected'}")


def do(what):
    """Has the test change something, and waits until it has."""
    print(f"do {what}", flush=True)
    sys.stdin.readline()


def prefer(*more, **query):
    configuration = RequestConfiguration(query_parameters=query.get("query"))
    configuration.headers.add("Prefer", ", ".join([IMMUTABLE, *more]))
    return configuration


def client():
    url = urlparse(task["token_url"])
    credential = ClientSecretCredential(
        task["tenant"],
        task["client_id"],
        task["client_secret"],
        authority=f"{url.scheme}://{url.netloc}",
        disable_instance_discovery=True,
    )
    scopes = ["https://graph.microsoft.com/.default"]
    adapter = GraphRequestAdapter(AzureIdentityAuthenticationProvider(credential, scopes=scopes))
    adapter.base_url = task["url"]
    return GraphServiceClient(request_adapter=adapter)


async def rounds(builder, configuration, headers):
    """The entries of a whole round, its pages, and the link to the next round."""
    entries, pages = [], 0
    page = await builder.get(request_configuration=configuration)
    while True:
        pages += 1
        entries += page.value
        if not page.odata_next_link:
            return entries, pages, page.odata_delta_link
        page = await builder.with_url(page.odata_next_link).get(request_configuration=headers)


async def main():
    graph = client()
    user = graph.users.by_user_id(task["mailbox"])

    # Folders.
    folders, _, link = await rounds(
        user.mail_folders.delta, prefer("odata.maxpagesize=3"), prefer("odata.maxpagesize=3")
    )
    known = {folder.id for folder in folders}
    check("folders with mail", {item["rest_folder_id"] for item in truth.values()} <= known, True)
    inbox = await user.mail_folders.by_mail_folder_id("inbox").get()
    check("inbox", inbox.id, task["inbox"])
    listed = await user.mail_folders.get()
    check("a page of folders has ten", len(listed.value), 10)
    folder_delta = user.mail_folders.delta.with_url(link)
    check("no folder changed", (await folder_delta.get()).value, [])

    # Every message of every folder, by delta, and byte for byte.
    messages = user.mail_folders.by_mail_folder_id(inbox.id).messages
    kind = type(messages.delta).DeltaRequestBuilderGetQueryParameters
    query = kind(
        select=["receivedDateTime", "internetMessageId", "parentFolderId", "isDraft"],
        expand=[f"singleValueExtendedProperties($filter=id eq '{KEY}' or id eq '{SIZE}')"],
    )
    got, inbox_link = {}, None
    for folder in {item["rest_folder_id"] for item in truth.values()}:
        builder = user.mail_folders.by_mail_folder_id(folder).messages.delta
        configuration = prefer("odata.maxpagesize=20", query=query)
        entries, pages, link = await rounds(builder, configuration, prefer("odata.maxpagesize=20"))
        check("pages of at most 20", pages, max(1, -(-len(entries) // 20)))
        got |= {entry.id: entry for entry in entries}
        inbox_link = link if folder == inbox.id else inbox_link
    check("the same messages as over EWS", set(got), set(truth))
    for id, entry in got.items():
        expected = truth[id]
        properties = {p.id: p.value for p in entry.single_value_extended_properties}
        if int(properties[SIZE]) != expected["size"] or properties[KEY] != expected["search_key"]:
            sys.exit(f"the extended properties of {expected} are {properties}")
        if entry.received_date_time.timestamp() != expected["received"]:
            sys.exit(f"{expected} was received at {entry.received_date_time}")
    check("messages with their properties", len(got), len(truth))

    # Contents, byte for byte: every fifth alone, the others in batches, with answers by id.
    whole = list(truth)[::5]
    for id in whole:
        content = await user.messages.by_message_id(id).content.get()
        if hashlib.sha256(content).hexdigest() != truth[id]["sha256"]:
            sys.exit(f"the content of {truth[id]} is another one")
    check("contents alone", len(whole), -(-len(truth) // 5))
    others = [id for id in truth if id not in set(whole)]
    for start in range(0, len(others), 20):
        some = others[start : start + 20]
        batch = BatchRequestContent()
        for id in some:
            request = user.messages.by_message_id(id).content.to_get_request_information()
            batch.add_request(id, BatchRequestItem(request, id=id))
        responses = await graph.batch.post(batch)
        check("answers in a batch", set(responses.responses), set(some))
        for id in some:
            status = responses.get_response_by_id(id).status
            content = responses.get_response_stream_by_id(id).read()
            if status != 200 or hashlib.sha256(content).hexdigest() != truth[id]["sha256"]:
                sys.exit(f"the batch is wrong about {truth[id]}: {status}")

    # Ids.
    body = TranslateExchangeIdsPostRequestBody(
        input_ids=[truth[id]["id"] for id in some],
        source_id_type=ExchangeIdFormat.EwsId,
        target_id_type=ExchangeIdFormat.RestImmutableEntryId,
    )
    ids = await user.translate_exchange_ids.post(body)
    check("translated ids", [result.target_id for result in ids.value], some)

    # What changed since: a new message, a moved one, a deleted one.
    do("change")
    builder = messages.delta.with_url(inbox_link)
    entries, _, inbox_link = await rounds(builder, prefer(), prefer())
    removed = {e.id for e in entries if "@removed" in e.additional_data}
    check("removed", removed, {task["moved"], task["deleted"]})
    check("new messages", len(entries) - len(removed), 1)
    moved = await user.messages.by_message_id(task["moved"]).get(request_configuration=prefer())
    check("a moved message has its immutable id", moved.id, task["moved"])
    ordinary = await user.messages.by_message_id(task["moved"]).get()
    check("and another ordinary id", ordinary.id not in (moved.id, task["moved_rest_id"]), True)

    # Errors.
    do("throttle")
    check("tried again after 429", (await messages.delta.with_url(inbox_link).get()).value, [])
    do("forget")
    try:
        await messages.delta.with_url(inbox_link).get()
        sys.exit("a lost state was not an error")
    except ODataError as error:
        check("status of a lost state", error.response_status_code, 410)
        check("code of a lost state", error.error.code, "SyncStateNotFound")
        check("where to begin again", "location" in {k.lower() for k in error.response_headers}, True)
    try:
        await graph.users.by_user_id("nobody@example.com").messages.get()
        sys.exit("an unknown user was not an error")
    except ODataError as error:
        check("code of an unknown user", error.error.code, "ErrorInvalidUser")
    print("passed")


asyncio.run(main())
