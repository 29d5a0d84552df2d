// Servers of websockets, for the tests of websockets. It prints the ports it listens on, as JSON.
// Arguments: the paths of a key and its certificate. "http" and "https" speak HTTP/1.1, "h2c" and "h2" speak HTTP/2 with extended CONNECT
// (RFC 8441), "old" is HTTP/2 without it: the frames of these are made by hand below. "ws", "wss" and "ws2", over HTTP/2, are the package
// ws, with permessage-deflate, where that is installed.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const http2 = require("http2");
const https = require("https");
const stream = require("stream");

const [key, cert] = process.argv.slice(2, 4).map((path) => fs.readFileSync(path));

const CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

function frame(opcode, payload, fin = true) {
    const length = payload.length;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
    head[0] = (fin ? 128 : 0) | opcode;
    if (length < 126) {
        head[1] = length;
    } else if (length < 65536) {
        head[1] = 126;
        head.writeUInt16BE(length, 2);
    } else {
        head[1] = 127;
        head.writeBigUInt64BE(BigInt(length), 2);
    }
    return Buffer.concat([head, payload]);
}

function closing(code, reason) {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code);
    payload.write(reason, 2);
    return payload;
}

// The first frame of `bytes` and its size; null while there is none. A frame without mask is none: it is answered by 1002.
function parse(bytes) {
    if (bytes.length < 2) return null;
    const short = bytes[1] & 127;
    const at = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < at + 4) return null;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < at + 4 + length) return null;
    const mask = bytes.subarray(at, at + 4), payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
    for (let index = 0; index < length; index++) payload[index] ^= mask[index & 3];
    return {"fin": bytes[0] >= 128, "opcode": bytes[0] & 15, "masked": bytes[1] >= 128, payload, "size": at + 4 + length};
}

// A websocket on a duplex stream: it calls `told(socket, opcode, payload)` with each message and each control frame.
class Socket {
    constructor(duplex, told) {
        this.duplex = duplex;
        this.opcode = 0;
        this.pieces = [];
        // What has come is joined once it makes up the frame, or every piece of a large one would be copied again and again.
        let waiting = [], size = 0, needed = 2;
        duplex.on("error", () => {});
        duplex.on("data", (data) => {
            waiting.push(data);
            size += data.length;
            if (size < needed) return;
            let bytes = Buffer.concat(waiting), next;
            while ((next = parse(bytes)) !== null) {
                bytes = bytes.subarray(next.size);
                this.take(next, told);
            }
            waiting = [bytes];
            size = bytes.length;
            needed = size >= 10 && (bytes[1] & 127) === 127 ? Number(bytes.readBigUInt64BE(2)) + 14 : size + 1;
        });
        duplex.on("end", () => duplex.end());
    }

    take(next, told) {
        if (!next.masked) {
            this.send(CLOSE, closing(1002, "no mask"));
            this.duplex.end();
        } else if (next.opcode >= CLOSE) {
            told(this, next.opcode, next.payload);
        } else {
            this.opcode = next.opcode || this.opcode;
            this.pieces.push(next.payload);
            if (next.fin) told(this, this.opcode, Buffer.concat(this.pieces.splice(0)));
        }
    }

    send(opcode, payload, fin = true) {
        this.duplex.write(frame(opcode, payload, fin));
    }
}

function echo(socket, opcode, payload) {
    if (opcode === PING) {
        socket.send(PONG, payload);
    } else if (opcode === CLOSE) {
        socket.send(CLOSE, payload);
        socket.duplex.end();
    } else if (opcode !== PONG) {
        socket.send(opcode, payload);
    }
}

// Messages come back in fragments, with a ping between any two of them; pongs come back as messages.
function fragments(socket, opcode, payload) {
    if (opcode === PONG) {
        socket.send(TEXT, payload);
    } else if (opcode >= CLOSE) {
        echo(socket, opcode, payload);
    } else {
        const third = Math.ceil(payload.length / 3);
        socket.send(opcode, payload.subarray(0, third), false);
        socket.send(PING, Buffer.from("1"));
        socket.send(CONTINUATION, payload.subarray(third, 2 * third), false);
        socket.send(PING, Buffer.from("2"));
        socket.send(CONTINUATION, payload.subarray(2 * third));
    }
}

// By the first part of the path: what is done with a frame, told the second part.
const routes = {
    echo,
    fragments,
    "close": (socket, opcode, payload) => {
        if (opcode === TEXT) socket.send(CLOSE, closing(Number(payload), "as you wish"));
        if (opcode === CLOSE) socket.duplex.end();
    },
    // Ten thousand messages in one breath, the Close frame and the end behind them.
    "burst": (socket, opcode) => {
        if (opcode !== TEXT) return;
        const messages = Array.from({"length": 10000}, (_, number) => frame(TEXT, Buffer.from(`message ${number}`)));
        socket.duplex.write(Buffer.concat([...messages, frame(CLOSE, closing(1000, "all said"))]));
        socket.duplex.end();
    },
    // So many pings, and nothing is read until they have gone; behind them the Close frame.
    "pings": (socket, opcode, payload, count) => {
        if (opcode === CLOSE) socket.duplex.end();
        if (opcode !== TEXT) return;
        const ping = frame(PING, Buffer.alloc(120, "?")), pings = Buffer.concat(Array(100).fill(ping));
        let left = Number(count) / 100;
        const more = () => {
            while (left-- > 0) {
                if (!socket.duplex.write(pings)) {
                    socket.duplex.once("drain", more);
                    return;
                }
            }
            socket.send(CLOSE, closing(1000, "enough"));
            socket.duplex.resume();
        };
        socket.duplex.pause();
        more();
    },
    "vanish": (socket, opcode) => {
        if (opcode !== TEXT) return;
        if (socket.duplex.close) socket.duplex.close(http2.constants.NGHTTP2_CANCEL);
        else socket.duplex.destroy();
    },
};

function greeting(headers) {
    const offered = (headers["sec-websocket-protocol"] || "").split(/ *, */);
    return offered.includes("echo.2") ? {"sec-websocket-protocol": "echo.2"} : {};
}

// What is told of a request as the first message, at "/told": its headers.
function serve(path, headers, duplex) {
    const [route, argument] = path.slice(1).split("/");
    const does = routes[route] || echo;
    const socket = new Socket(duplex, (socket, opcode, payload) => does(socket, opcode, payload, argument));
    if (route === "told") socket.send(TEXT, Buffer.from(JSON.stringify(headers)));
    // Bytes glued to the response.
    if (route === "hello") socket.send(TEXT, Buffer.from("hello"));
}

function upgrade(request, socket, head) {
    socket.on("error", () => {});
    if (request.url === "/refused") {
        socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n\r\nnot so");
        return;
    }
    const accept = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    const headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-accept": accept.digest("base64"), ...greeting(request.headers)};
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.setNoDelay();
    socket.cork();
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`);
    serve(request.url, request.headers, socket);
    socket.uncork();
    socket.unshift(head);
}

function answer(request, response) {
    response.end(`${request.method} ${request.url}`);
}

// Extended CONNECT; other streams go to `answer`. `take(duplex, headers)` makes a websocket of one.
function connectable(server, take) {
    const compatible = server.listeners("stream")[0];
    server.removeAllListeners("stream");
    return server.on("stream", (duplex, headers, ...rest) => {
        duplex.on("error", () => {});
        if (headers[":method"] !== "CONNECT" || headers[":protocol"] !== "websocket") {
            compatible.call(server, duplex, headers, ...rest);
        } else if (headers[":path"] === "/refused") {
            duplex.respond({":status": 403});
            duplex.end("not so");
        } else {
            take(duplex, headers);
        }
    });
}

function connect(duplex, headers) {
    duplex.respond({":status": 200, ...greeting(headers)});
    serve(headers[":path"], headers, duplex);
}

const settings = {"settings": {"enableConnectProtocol": true}};
const servers = {
    "http": http.createServer(answer).on("upgrade", upgrade),
    "https": https.createServer({key, cert}, answer).on("upgrade", upgrade),
    "h2c": connectable(http2.createServer(settings, answer), connect),
    "h2": connectable(http2.createSecureServer({key, cert, ...settings}, answer), connect),
    "old": http2.createServer(answer),
};

// The package ws, where Debian or NODE_PATH have it.
function packaged() {
    for (const name of ["ws", "/usr/share/nodejs/ws"]) {
        try {
            return require(name);
        } catch (error) {
            if (error.code !== "MODULE_NOT_FOUND") throw error;
        }
    }
    return null;
}

// What ws takes for a socket on which HTTP/1.1 is spoken: the response that it writes first becomes that of HTTP/2.
class Translated extends stream.Duplex {
    constructor(duplex) {
        super();
        this.duplex = duplex;
        this.answered = false;
        duplex.on("data", (data) => { if (!this.push(data)) duplex.pause(); });
        duplex.on("end", () => this.push(null));
        duplex.on("close", () => this.destroy());
    }

    setTimeout() {}
    setNoDelay() {}
    _read() { this.duplex.resume(); }
    _final(done) { this.duplex.end(done); }
    _destroy(error, done) {
        this.duplex.close();
        done(error);
    }

    _write(data, encoding, done) {
        if (this.answered) {
            this.duplex.write(data, done);
            return;
        }
        this.answered = true;
        const headers = {":status": 200};
        for (const line of data.toString().split("\r\n").slice(1)) {
            const [, name, value] = line.match(/^(Sec-WebSocket-(?:Extensions|Protocol)): (.*)$/i) || [];
            if (name) headers[name.toLowerCase()] = value;
        }
        this.duplex.respond(headers);
        done();
    }
}

const ws = packaged();
if (ws) {
    const protocols = (offered) => offered.has("echo.2") && "echo.2";
    const sockets = new ws.WebSocketServer({"noServer": true, "perMessageDeflate": {"threshold": 0}, "handleProtocols": protocols});
    sockets.on("connection", (socket, request) => {
        const [route] = request.url.slice(1).split("/");
        socket.on("error", () => {});
        if (route === "told") socket.send(JSON.stringify({...request.headers, "extensions": socket.extensions}));
        socket.on("message", (data, binary) => {
            if (route === "close") socket.close(Number(data), "as you wish");
            else if (route === "vanish") socket.terminate();
            else socket.send(data, {binary});
        });
    });
    const taken = (request, socket, head) => {
        if (request.url === "/refused") upgrade(request, socket, head);
        else sockets.handleUpgrade(request, socket, head, (made) => sockets.emit("connection", made, request));
    };
    servers.ws = http.createServer(answer).on("upgrade", taken);
    servers.wss = https.createServer({key, cert}, answer).on("upgrade", taken);
    servers.ws2 = connectable(http2.createServer(settings, answer), (duplex, headers) => {
        const added = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": crypto.randomBytes(16).toString("base64")};
        taken({"method": "GET", "url": headers[":path"], "headers": {...headers, ...added}}, new Translated(duplex), Buffer.alloc(0));
    });
}

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
