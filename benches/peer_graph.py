"""The peer of the Graph benchmark: copies emails into files with Microsoft's Graph SDK for Python.

Usage: peer_graph.py CONFIG FOLDER COUNT

It does what our program does for each email: list by delta query, fetch the MIME content, write it
to a file and bring the file to the disk. It works as the limits of the service allow: on all
mailboxes at once, with four requests at a time for each.
"""

import asyncio
import hashlib
import json
import os
import pathlib
import sys
from urllib.parse import urlparse

from azure.identity import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient

AT_ONCE = 4
IMMUTABLE = 'IdType="ImmutableId"'


def client(config):
    url = urlparse(config["auth_oauth_authority"])
    credential = ClientSecretCredential(
        url.path.strip("/"), config["auth_oauth_client_id"], config["auth_oauth_client_secret"],
        authority=f"{url.scheme}://{url.netloc}", disable_instance_discovery=True)
    scopes = ["https://graph.microsoft.com/.default"]
    adapter = GraphRequestAdapter(AzureIdentityAuthenticationProvider(credential, scopes=scopes))
    adapter.base_url = config["graph_endpoint"]
    return GraphServiceClient(request_adapter=adapter)


def prefer(*more, query=None):
    configuration = RequestConfiguration(query_parameters=query)
    configuration.headers.add("Prefer", ", ".join([IMMUTABLE, *more]))
    return configuration


async def pages(builder, query=None):
    size = "odata.maxpagesize=100"
    page = await builder.get(request_configuration=prefer(size, query=query))
    while True:
        yield page.value
        if not page.odata_next_link:
            return
        page = await builder.with_url(page.odata_next_link).get(request_configuration=prefer(size))


async def messages(user, count):
    folders = [folder async for page in pages(user.mail_folders.delta) for folder in page]
    for folder in folders:
        if not folder.total_item_count:
            continue
        delta = user.mail_folders.by_mail_folder_id(folder.id).messages.delta
        query = type(delta).DeltaRequestBuilderGetQueryParameters(
            select=["receivedDateTime", "internetMessageId", "parentFolderId", "isDraft"])
        async for page in pages(delta, query):
            for message in page:
                if count <= 0:
                    return
                count -= 1
                yield message


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


async def copy(graph, address, folder, count):
    folder.mkdir(parents=True)
    user = graph.users.by_user_id(address)
    places = asyncio.Semaphore(AT_ONCE)

    async def fetch(message):
        async with places:
            content = await user.messages.by_message_id(message.id).content.get(
                request_configuration=prefer())
        name = hashlib.sha256((message.internet_message_id or message.id).encode()).hexdigest()[:32]
        await asyncio.to_thread(write, folder / f"{name}.eml", content)

    async with asyncio.TaskGroup() as tasks:
        async for message in messages(user, count):
            tasks.create_task(fetch(message))


async def main():
    config = json.loads(pathlib.Path(sys.argv[1]).read_text())
    target = pathlib.Path(sys.argv[2])
    addresses = list(config["mailboxes"])
    graph = client(config)
    share = int(sys.argv[3]) // len(addresses)
    await asyncio.gather(*(copy(graph, address, target / address, share) for address in addresses))


asyncio.run(main())
