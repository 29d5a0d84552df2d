"""Push a message to devices, as APNs wants it: ``PUSH_TOKEN=... python examples/push.py URL TOPIC MESSAGE DEVICE...``."""

import json
import os
import sys

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

import twisted_gun as gun


async def main(reactor: IReactorTime, url: str, topic: str, message: str, *devices: str) -> None:
    # One connection for all, which comes back; what is beyond the server's limit of streams waits in line.
    options = {"max_waiting": 10_000, "keepalive": 60.0, "keepalive_tolerance": 1}
    conn = gun.open_url(url, reactor=reactor, protocols=["http2"], http2_opts=options, retry_fun=gun.backoff())
    headers = {"authorization": f"bearer {os.environ['PUSH_TOKEN']}", "apns-topic": topic, "apns-push-type": "alert"}
    content = json.dumps({"aps": {"alert": message}}).encode()

    async def push(device: str) -> str:
        for _ in range(5):
            stream = conn.post(f"/3/device/{device}", headers, content)
            try:
                response = await stream.await_response(timeout=60.0)
                body = await stream.await_body(timeout=60.0)
            except (gun.GoAway, gun.StreamRefused):
                continue  # it certainly was not processed: once more, on the next connection where this one goes away
            except gun.GunError as error:
                return f"perhaps: {error}"  # whether to risk a second message is for you to say
            return "sent" if response.status == 200 else f"{response.status} {json.loads(body)['reason']}"
        return "refused"

    pushing = [Deferred.fromCoroutine(push(device)) for device in devices]
    for device, result in zip(devices, await gatherResults(pushing, consumeErrors=True), strict=True):
        print(f"{device}: {result}")
    await conn.shutdown()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
