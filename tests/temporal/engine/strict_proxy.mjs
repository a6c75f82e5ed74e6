// A gRPC proxy as a strict operator has it: calls whose path holds one of the given words are answered
// PERMISSION_DENIED, all others go to the server. `node strict_proxy.mjs http://host:port word…` prints its port.
// With TLS_CERT and TLS_KEY (files) it speaks TLS; with API_KEY it answers UNAUTHENTICATED to who does not have it.
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';

const [target, ...forbidden] = process.argv.slice(2);
const { TLS_CERT, TLS_KEY, API_KEY } = process.env;
const far = http2.connect(target);
const server = TLS_CERT
  ? http2.createSecureServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) })
  : http2.createServer();

function refuse(near, status) {
  const told = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': 'no.' };
  near.respond(told, { endStream: true });
}

server.on('stream', (near, headers) => {
  near.on('error', () => {});
  if (API_KEY && headers.authorization !== `Bearer ${API_KEY}`) {
    refuse(near, '16');
    return;
  }
  if (forbidden.some((word) => headers[':path'].includes(word))) {
    refuse(near, '7');
    return;
  }
  const { ':authority': _, ':scheme': __, ...kept } = headers;
  const call = far.request(kept);
  let trailers = {};
  call.on('error', () => near.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  call.on('trailers', (told) => { trailers = told; });
  call.on('response', (told, flags) => {
    if (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) {
      near.respond(told, { endStream: true });
      return;
    }
    near.respond(told, { waitForTrailers: true });
    near.on('wantTrailers', () => near.sendTrailers(trailers));
    call.pipe(near);
  });
  near.on('close', () => call.close());
  near.pipe(call);
});

server.listen(0, TLS_CERT ? 'localhost' : '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
