// One gateway: connect, log in, subscribe, receive, ping, and again after a wait when it ends.

import WebSocket from 'ws';

const CONNECT_TIMEOUT_MS = 10_000;
const LOGIN_TIMEOUT_MS = 10_000;
const SUBSCRIBE_GRACE_MS = 500;
const PING_INTERVAL_MS = 15_000;
const LIVENESS_TIMEOUT_MS = 25_000;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const BACKOFF_INITIAL_MS = 1_000;
const BACKOFF_MAX_MS = 45_000;

export class Gateway {
  #url;
  #email;
  #password;
  #gate;
  #socket = null;
  #pings = null;
  #deadline = null;
  #leaveGate = () => {};

  state = 'disconnected';
  reason = null;
  attempt = 0;
  connectedSince = null;
  lastSeenAt = null;
  messagesReceived = 0;
  kinds = {};

  constructor({ id, url, email, password }, gate) {
    this.id = id;
    this.#url = url;
    this.#email = email;
    this.#password = password;
    this.#gate = gate;
  }

  async start() {
    this.#leaveGate = await this.#gate.enter();
    this.state = 'connecting';
    this.#socket = new WebSocket(this.#url, {
      perMessageDeflate: false,
      handshakeTimeout: CONNECT_TIMEOUT_MS,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    this.#socket
      .on('open', () => this.#logIn())
      .on('message', (data) => this.#receive(data))
      .on('pong', () => (this.lastSeenAt = Date.now()))
      .on('error', (error) => (this.reason = error.message))
      .on('close', () => this.#closed());
  }

  status() {
    const { id, state, reason, attempt, connectedSince, lastSeenAt, messagesReceived } = this;
    return {
      id,
      state,
      reason,
      attempt,
      connected_since: connectedSince,
      last_seen_at: lastSeenAt,
      messages_received: messagesReceived,
    };
  }

  #logIn() {
    this.state = 'authenticating';
    this.#send('POST_LOGIN', { Email: this.#email, Password: this.#password });
    this.#deadline = setTimeout(() => this.#fail('login timeout'), LOGIN_TIMEOUT_MS);
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.#fail('not JSON');
      return;
    }
    this.lastSeenAt = Date.now();
    if (this.state === 'connected') {
      this.messagesReceived += 1;
      this.kinds[message.Type] = (this.kinds[message.Type] ?? 0) + 1;
    } else if (this.state === 'authenticating') {
      this.#loggedIn(message);
    } else if (this.state === 'subscribing') {
      if (message.Type === 'RTN_ERR') this.#fail('subscription rejected');
      else this.#subscribed();
    }
  }

  #loggedIn(message) {
    clearTimeout(this.#deadline);
    if (message.Type !== 'RTN_LOGIN' || !message.Data?.Success) {
      this.#fail('login rejected');
      return;
    }
    this.state = 'subscribing';
    this.#send('POST_SUB_CHANGES', {});
    this.#leaveGate();
    this.#deadline = setTimeout(() => this.#subscribed(), SUBSCRIBE_GRACE_MS);
  }

  #subscribed() {
    clearTimeout(this.#deadline);
    this.state = 'connected';
    this.reason = null;
    this.attempt = 0;
    this.connectedSince = Date.now();
    this.#pings = setInterval(() => this.#ping(), PING_INTERVAL_MS);
  }

  #ping() {
    if (Date.now() - this.lastSeenAt > LIVENESS_TIMEOUT_MS) this.#fail('no pong');
    else this.#socket.ping();
  }

  #send(type, data) {
    this.#socket.send(JSON.stringify({ Type: type, From: 'UI', To: 'SERV', Data: data }));
  }

  #fail(reason) {
    this.reason = reason;
    this.#socket.terminate();
  }

  #closed() {
    clearTimeout(this.#deadline);
    clearInterval(this.#pings);
    this.#leaveGate();
    this.state = 'retrying';
    this.connectedSince = null;
    this.attempt += 1;
    const longest = Math.min(BACKOFF_MAX_MS, BACKOFF_INITIAL_MS * 2 ** Math.min(this.attempt - 1, 16));
    setTimeout(() => this.start(), Math.random() * longest);
  }
}
