// Gives so many bytes as a response, as fast as they are taken.
"use strict";

function give(size, response) {
    const piece = Buffer.alloc(65536, "0123456789abcdef");
    let left = size;
    const more = () => {
        while (left > 0) {
            const next = piece.subarray(0, Math.min(left, piece.length));
            left -= next.length;
            if (!response.write(next)) {
                response.once("drain", more);
                return;
            }
        }
        response.end();
    };
    more();
}

module.exports = give;
