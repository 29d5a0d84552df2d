// What node's own HTTP server does that others do not, for test_node.py. It prints the ports it listens on, as JSON.
// Arguments: the paths of a key, its certificate, and the certificate of the authority that clients' certificates must be from.
"use strict";
const fs = require("fs");
const http = require("http");
const https = require("https");

function answer(request, response) {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
        const content = Buffer.concat(pieces);
        if (request.url === "/trailers") {
            response.writeHead(200, {"trailer": "x-length"});
            response.write("one,");
            response.write("two");
            response.addTrailers({"x-length": "7"});
            response.end();
        } else if (request.url === "/sent-trailers") {
            response.end(JSON.stringify(request.trailers));
        } else if (request.url === "/hints") {
            response.writeEarlyHints({"link": "</style.css>; rel=preload; as=style"}, () => response.end("hinted"));
        } else if (request.url === "/echo") {
            response.setHeader("x-sent-as", request.headers["transfer-encoding"] || request.headers["content-length"] || "nothing");
            response.end(content);
        } else if (request.url === "/cut") {
            response.writeHead(200, {"content-length": "100"});
            response.write("only this", () => request.socket.destroy());
        } else if (request.url === "/until-close") {
            response.useChunkedEncodingByDefault = false;
            response.setHeader("connection", "close");
            response.removeHeader("content-length");
            response.write("until ");
            response.end("close");
        } else {
            response.end(`${request.method} ${request.url}`);
        }
    });
}

// Whatever it is upgraded to, it says hello in the same breath, and then echoes.
function upgrade(request, socket) {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello");
    socket.pipe(socket);
}

const [key, cert, ca] = process.argv.slice(2).map((path) => fs.readFileSync(path));
const plain = http.createServer(answer).on("upgrade", upgrade);
const brief = http.createServer({keepAliveTimeout: 20}, answer);
const locked = https.createServer({key, cert, ca, requestCert: true, rejectUnauthorized: true}, answer);
const servers = {plain, brief, locked};
const ports = {};
for (const [name, server] of Object.entries(servers)) {
    server.listen(0, "127.0.0.1", () => {
        ports[name] = server.address().port;
        if (Object.keys(ports).length === Object.keys(servers).length) {
            console.log(JSON.stringify(ports));
        }
    });
}
