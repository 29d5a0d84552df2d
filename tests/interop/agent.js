// A server for the tests of agents, over HTTP/1.1 and over HTTP/2, chosen by ALPN, and over HTTP/1.1 in the clear.
// Arguments: the paths of a key and its certificate. It prints the ports it listens on, as JSON.
"use strict";
const fs = require("fs");
const http = require("http");
const http2 = require("http2");
const zlib = require("zlib");
const give = require("./give");

const [key, cert] = process.argv.slice(2, 4).map((path) => fs.readFileSync(path));

function echo(request, response) {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
        const body = Buffer.concat(pieces).toString("latin1");
        const told = {method: request.method, url: request.url, version: request.httpVersion, headers: request.headers, body};
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(told));
    });
}

function reset(response) {
    if (response.stream) {
        response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    } else {
        response.socket.destroy();
    }
}

function digest(request, response) {
    let size = 0;
    request.on("data", (piece) => { size += piece.length; });
    request.on("end", () => response.end(String(size)));
}

const paths = {
    "/echo": echo,
    "/digest": digest,
    "/redirect": (request, response) => {
        response.writeHead(302, {"location": "/echo", "set-cookie": ["a=b", "c=d"]});
        response.end("it is elsewhere");
    },
    "/gzip": (request, response) => {
        response.writeHead(200, {"content-encoding": "gzip", "content-type": "text/plain; charset=utf-8"});
        response.end(zlib.gzipSync("gr\u00fc\u00dfe".repeat(1000)));
    },
    "/auth": (request, response) => {
        const granted = request.headers.authorization === "Basic " + Buffer.from("user:secret").toString("base64");
        response.writeHead(granted ? 200 : 401, granted ? {} : {"www-authenticate": "Basic realm=x"});
        response.end(granted ? "welcome" : "who are you?");
    },
    "/large": (request, response) => give(20000000, response),
    "/never": () => {},
    "/cut": (request, response) => {
        response.writeHead(200, {"content-length": "100"});
        response.write("a part", () => setImmediate(() => reset(response)));
    },
    "/reset": (request, response) => reset(response),
    "/trailers": (request, response) => {
        response.writeHead(200, {"trailer": "x-sum"});
        response.write("content");
        response.addTrailers({"x-sum": "7"});
        response.end();
    },
    "/hints": (request, response) => {
        response.writeEarlyHints({"link": "</style.css>; rel=preload"});
        response.end("hinted");
    },
    "/empty": (request, response) => {
        response.writeHead(204);
        response.end();
    },
    "/until-close": (request, response) => {
        response.socket.end("HTTP/1.1 200 OK\r\n\r\nall there is");
    },
};

function answer(request, response) {
    response.on("error", () => {});
    const act = paths[request.url.split("?")[0]];
    if (act) {
        act(request, response);
    } else {
        response.writeHead(404);
        response.end("no such thing");
    }
}

function proceed(request, response) {
    if (request.url === "/refuse") {
        response.writeHead(417);
        response.end("it is not wanted");
    } else {
        response.writeContinue();
        answer(request, response);
    }
}

const servers = {"secure": http2.createSecureServer({key, cert, allowHTTP1: true}, answer), "plain": http.createServer(answer)};
const ports = {};
for (const [name, server] of Object.entries(servers)) {
    server.on("checkContinue", proceed);
    server.on("error", () => {});
    server.listen(0, "127.0.0.1", () => {
        ports[name] = server.address().port;
        if (Object.keys(ports).length === Object.keys(servers).length) {
            console.log(JSON.stringify(ports));
        }
    });
}
