"""The protocol of CTC Connect Wireless gateways: messages in, events out; no sockets, threads or database."""
