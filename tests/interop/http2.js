// What servers of HTTP/2 do, at the client's bidding, for the tests of HTTP/2. It prints the ports it listens on, as JSON.
// Arguments: the paths of a key, its certificate and a file. "plain" and "few" (at most ten streams at a time) speak HTTP/2 in the clear, "secure"
// over TLS, and "behind" is the same application over HTTP/1.1, for others to stand in front of.
"use strict";
const crypto = require("crypto");
const events = require("events");
const fs = require("fs");
const http = require("http");
const http2 = require("http2");
const give = require("./give");

const [key, cert] = process.argv.slice(2, 4).map((path) => fs.readFileSync(path));
const file = process.argv[4];

// The responses to requests that wait until "/release" is asked for.
const held = [];

// The codes that clients ended streams of "/reset-me" by, those of their GOAWAY frames, and who waits for one.
const codes = [];
const goaways = [];
const coming = new events.EventEmitter();

function whenThere(list, count, stream) {
    if (list.length < count) {
        coming.once("code", () => whenThere(list, count, stream));
    } else {
        stream.respond({":status": 200});
        stream.end(JSON.stringify(list));
    }
}

// What to say of an upload that is too long to send back.
function digest(request, response) {
    const hash = crypto.createHash("sha256");
    request.on("data", (piece) => hash.update(piece));
    request.on("end", () => response.end(hash.digest("hex")));
}

function echo(request, response) {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
        response.setHeader("x-method", request.method);
        response.setHeader("x-said", request.headers["x-said"] || "");
        response.setHeader("x-twice", ["one", "two"]);
        response.end(Buffer.concat(pieces));
    });
}

function trailers(response) {
    response.writeHead(200, {"trailer": "x-length"});
    response.write("one,");
    response.write("two");
    response.addTrailers({"x-length": "7"});
    response.end();
}

// Its length is said, as servers of files do. Node closes a connection that it has finished at once, whatever it was sent meanwhile.
function giveFile(response) {
    response.writeHead(200, {"content-length": fs.statSync(file).size});
    fs.createReadStream(file, {"highWaterMark": 262144}).pipe(response);
}

// What the application does over either version: by the first part of the path, told the second.
const routes = {
    "echo": (_, request, response) => echo(request, response),
    "digest": (_, request, response) => digest(request, response),
    "file": (_, request, response) => giveFile(response),
    "bytes": (size, request, response) => give(Number(size), response),
    "status": (status, request, response) => response.writeHead(Number(status)).end(),
    "headers": (_, request, response) => response.end(JSON.stringify(request.headers)),
    "trailers": (_, request, response) => trailers(response),
    "hints": (_, request, response) => {
        response.writeEarlyHints({"link": "</style.css>; rel=preload; as=style"});
        response.end("hinted");
    },
    "hold": (name, request, response) => { held.push(() => response.end(name)); },
    "release": (_, request, response) => {
        held.splice(0).forEach((release) => release());
        response.end("released");
    },
};

// What only HTTP/2 has. The second part of the path is a number.
const streamRoutes = {
    // So many pushes, if the client takes any.
    "push": (count, stream) => {
        for (let at = 0; stream.pushAllowed && at < count; at++) {
            stream.pushStream({":path": `/pushed/${at}`, "x-pushed": String(at)}, (error, pushed) => {
                if (error) throw error;
                pushed.on("error", () => {});
                pushed.respond({":status": 200, "x-number": String(at)});
                pushed.end(`pushed ${at}`);
            });
        }
        stream.respond({":status": 200, "x-allowed": String(stream.pushAllowed)});
        stream.end("pushing");
    },
    // A push that never ends; the response ends when the push has been cancelled, and says by which code.
    "push-long": (_, stream) => {
        stream.pushStream({":path": "/pushed/long"}, (error, pushed) => {
            if (error) throw error;
            pushed.on("error", () => {});
            pushed.on("close", () => stream.end(`cancelled by ${pushed.rstCode}`));
            pushed.respond({":status": 200});
            pushed.write("begun");
        });
        stream.respond({":status": 200});
        stream.write("pushing,");
    },
    // The code that the client ends this stream by is told to whoever asks for "/codes".
    "reset-me": (_, stream) => {
        stream.on("close", () => {
            codes.push(stream.rstCode);
            coming.emit("code");
        });
        stream.respond({":status": 200});
        stream.write("begun");
    },
    "codes": (count, stream) => whenThere(codes, count, stream),
    "goaways": (count, stream) => whenThere(goaways, count, stream),
    "reset": (code, stream) => stream.close(code),
    // node's close() would end the content first; what destroy() sends is INTERNAL_ERROR.
    "reset-late": (_, stream) => {
        stream.respond({":status": 200});
        stream.write("only this", () => stream.destroy(new Error("reset")));
    },
    // A whole response before the content has been read; then the content is refused by RST_STREAM with NO_ERROR.
    "early": (status, stream) => {
        stream.respond({":status": status});
        stream.end("too much", () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
    },
    "ping": (_, stream) => {
        stream.session.ping(Buffer.from("farm2024"), (error, duration, payload) => {
            stream.respond({":status": 200});
            stream.end(error ? String(error) : payload);
        });
    },
    "settings": (most, stream) => {
        stream.session.settings({"maxConcurrentStreams": most, "initialWindowSize": 100000}, () => {
            stream.respond({":status": 200});
            stream.end("acknowledged");
        });
    },
    // Both phases of a graceful end (RFC 9113 section 6.8): no new streams soon; and then, after a round trip, none after this one.
    "goaway": (code, stream) => {
        const session = stream.session;
        session.goaway(code, 2 ** 31 - 1);
        session.ping((error) => {
            session.goaway(code, stream.id);
            stream.respond({":status": 200});
            stream.end("last");
        });
    },
    // One phase: what came after the stream with this number is never processed.
    "goaway-after": (last, stream) => {
        stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR, last);
        stream.respond({":status": 200});
        stream.end("last");
    },
    "fail": (code, stream) => {
        stream.session.goaway(code, stream.id);
        stream.session.ping(() => stream.session.destroy(undefined, code));
    },
};

function parts(path) {
    const [route, argument] = path.slice(1).split("/");
    return [route, argument];
}

function answer(request, response) {
    const [route, argument] = parts(request.url);
    (routes[route] || (() => response.end(`${request.method} ${request.url}`)))(argument, request, response);
}

// Streams that the compatibility layer does not show: they are taken before it sees them.
function serve(server) {
    const compatible = server.listeners("stream")[0];
    server.removeAllListeners("stream");
    server.on("session", (session) => session.on("goaway", (code) => {
        goaways.push(code);
        coming.emit("code");
    }));
    server.on("stream", (stream, headers, ...rest) => {
        const [route, argument] = parts(headers[":path"]);
        stream.on("error", () => {});
        if (streamRoutes[route]) {
            streamRoutes[route](Number(argument), stream);
        } else {
            compatible.call(server, stream, headers, ...rest);
        }
    });
    return server;
}

const servers = {
    "plain": serve(http2.createServer(answer)),
    "few": serve(http2.createServer({"settings": {"maxConcurrentStreams": 10}}, answer)),
    "secure": serve(http2.createSecureServer({key, cert}, answer)),
    "behind": http.createServer(answer),
};
const ports = {};
for (const [name, server] of Object.entries(servers)) {
    server.on("sessionError", () => {});
    server.listen(0, "127.0.0.1", () => {
        ports[name] = server.address().port;
        if (Object.keys(ports).length === Object.keys(servers).length) {
            console.log(JSON.stringify(ports));
        }
    });
}
