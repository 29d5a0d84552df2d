r"""
Twisted's own IMAP client, through a proxy it knows nothing of: ``python examples/proxied_imap.py DESCRIPTION USER PASSWORD``.

The description is one of an endpoint, such as ``http-connect:mail.example.org:143:proxy=http\://proxy.example\:3128``.
"""

import sys

from twisted.internet import task
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IReactorTime
from twisted.mail.imap4 import IMAP4Client

import twisted_gun as gun


async def main(reactor: IReactorTime, description: str, user: str, password: str) -> None:
    endpoint = clientFromString(reactor, description)
    try:
        client = await connectProtocol(endpoint, IMAP4Client())
    except gun.ProxyFailed as refused:
        print(refused)
        return
    await client.login(user.encode(), password.encode())
    mailbox = await client.examine("INBOX")
    print(f"{mailbox['EXISTS']} messages in INBOX")
    await client.logout()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
