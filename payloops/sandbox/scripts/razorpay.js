// Razorpay's checkout, simulated: a frame above the page, in which the customer pays or closes it. What came of it is posted to
// callback_url, or given to the handler. As the real one, it does not open with options that are missing or wrong.
"use strict";

(() => {
  const { origin } = new URL(document.currentScript.src);
  const EVENTS = ["payment.failed", "payment.submit", "payment.success", "payment.error", "modal.closed"];
  const AMOUNT_MIN = 100;

  function must(holds, text) {
    if (!holds) throw new TypeError(`Razorpay: ${text}`);
  }

  function checkOptions(options) {
    must(options && typeof options === "object", "options are needed");
    const { key, order_id: order, amount, currency, name, callback_url: callback, handler, modal, redirect } = options;
    must(typeof key === "string" && /^rzp_(test|live)_\w+$/.test(key), "key must be a key id");
    must(!/^rzp_live_/.test(key), "a simulator takes no live key");
    must(typeof order === "string" && /^order_\w+$/.test(order), "order_id must be an order's");
    must(Number.isInteger(Number(amount)) && Number(amount) >= 1, "amount must be in the currency's subunit");
    must(currency !== "INR" || Number(amount) >= AMOUNT_MIN, "amount must be at least 100 paise");
    must(typeof currency === "string" && /^[A-Z]{3}$/.test(currency), "currency must be an ISO code");
    must(typeof name === "string" && name !== "", "name must be the shop's");
    must(callback === undefined || isWebAddress(callback), "callback_url must be an http or https address");
    must(callback || typeof handler === "function", "a callback_url or a handler is needed");
    must(!redirect || callback, "redirect goes with a callback_url");
    must(!modal?.ondismiss || typeof modal.ondismiss === "function", "modal.ondismiss must be a function");
  }

  function isWebAddress(text) {
    return typeof text === "string" && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  }

  function framed(src, name) {
    const dialog = document.createElement("div");
    dialog.setAttribute("role", "dialog");
    dialog.setAttribute("aria-modal", "true");
    dialog.setAttribute("aria-label", `${name}: Razorpay`);
    Object.assign(dialog.style, { position: "fixed", inset: "0", zIndex: "9", background: "rgb(0 0 0 / 60%)", padding: "1rem" });
    const frame = document.createElement("iframe");
    Object.assign(frame, { src, title: "Razorpay Checkout" });
    Object.assign(frame.style, {
      display: "block", width: "min(100%, 24rem)", height: "min(100%, 34rem)", margin: "auto", border: "0", background: "#fff",
      colorScheme: "light",
    });
    dialog.append(frame);
    return { dialog, frame };
  }

  function posted(url, fields) {
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: url, hidden: true });
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
  }

  window.Razorpay = class Razorpay {
    #options;
    #listeners = [];
    #before = null;
    #opened = null;

    constructor(options) {
      checkOptions(options);
      this.#options = { ...options };
    }

    on(event, listener) {
      must(EVENTS.includes(event), `there is no event ${event}`);
      must(typeof listener === "function", "on() wants a function");
      this.#listeners.push([event, listener]);
    }

    open() {
      if (this.#opened) return;
      this.#before = document.activeElement;
      const { order_id: order, key, name } = this.#options;
      const query = new URLSearchParams({ framed: "1", key });
      this.#opened = framed(`${origin}/_sandbox/checkout/${encodeURIComponent(order)}?${query}`, name);
      window.addEventListener("message", this.#hear);
      document.body.append(this.#opened.dialog);
      this.#opened.frame.focus();
    }

    close() {
      window.removeEventListener("message", this.#hear);
      this.#opened?.dialog.remove();
      this.#opened = null;
      this.#before?.focus();
    }

    #hear = ({ source, origin: from, data }) => {
      if (from !== origin || source !== this.#opened?.frame.contentWindow) return;
      const { callback_url: callback, redirect, handler, modal } = this.#options;
      if (data.closed) {
        this.close();
        modal?.ondismiss?.();
      } else if (data.paid) {
        this.close();
        if (callback) posted(callback, data.paid);
        else handler(data.paid);
      } else if (data.failed) {
        for (const [event, listener] of this.#listeners) if (event === "payment.failed") listener({ error: data.failed });
        // Without redirect the customer stays in the frame and may try another way.
        if (!redirect) return;
        this.close();
        posted(callback, { "error[code]": data.failed.code, "error[description]": data.failed.description });
      }
    };
  };
})();
