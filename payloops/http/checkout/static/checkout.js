// The checkout's page in the browser: the card form of the processor, and waiting. Amounts and results are the server's.
"use strict";

(() => {
  const WAIT_MS = 1500;
  const WAIT_LONG_MS = 10000;
  const SHORT_WAITS = 80;
  const AWAY = "The form of the payment processor could not be loaded. Check your connection and load the page again.";
  const BROKEN = "This way to pay does not work at the moment, and nothing was taken. Load the page again, or try another way.";
  const CLOSED = "You closed Razorpay before paying, and nothing was taken. Press the button to go on.";
  const NO_BANK = "Your bank's page could not be opened. Try again in a moment.";
  const NOT_REACHED = ["api_error", "api_connection_error", "rate_limit_error"];
  const FOR_PEOPLE = ["card_error", "validation_error"];

  /** A problem in words for the customer; all others are the page's or the processor's. */
  class Told extends Error {}

  const problem = document.getElementById("problem");

  function say(text) {
    problem.textContent = text;
    problem.hidden = false;
    problem.focus();
  }

  function busy(button, on, text = "") {
    const told = document.getElementById("busy");
    button.setAttribute("aria-disabled", String(on));
    if (told) told.textContent = text;
  }

  // A page that the browser kept is out of date: the server knows what was paid meanwhile.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });

  function pay(form) {
    const button = form.querySelector("button");
    const holder = form.querySelector("[data-element]");
    const chosen = () => new FormData(form).get("processor");
    let sent = false;
    let stripe = null;
    let elements = null;

    // The card's details stay with the processor: the page gets the id of a payment method, and the server charges it.
    function mount() {
      if (!window.Stripe) throw new Told(AWAY);
      stripe = window.Stripe(form.dataset.key);
      const theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "night" : "stripe";
      elements = stripe.elements({
        mode: "payment",
        amount: Number(form.dataset.amount),
        currency: form.dataset.currency,
        paymentMethodCreation: "manual",
        appearance: { theme },
      });
      const element = elements.create("payment");
      element.on("loaderror", () => lost(AWAY));
      element.mount(holder);
    }

    // Says so in the place of the card form, and leaves the other ways to pay as they are.
    function lost(text) {
      elements = null;
      holder.textContent = text;
      holder.className = "problem";
      holder.setAttribute("role", "status");
    }

    if (holder) {
      try {
        mount();
      } catch (failure) {
        console.error(failure);
        lost(wordsOf(failure));
      }
    }

    function show() {
      if (holder) holder.hidden = chosen() !== "stripe";
    }
    form.addEventListener("change", show);
    show();

    function send(token) {
      if (token) {
        const field = document.createElement("input");
        Object.assign(field, { type: "hidden", name: "token", value: token });
        form.append(field);
      }
      form.submit();
    }

    async function tokenOfCard() {
      if (!elements) throw new Told(AWAY);
      succeeded(await elements.submit());
      return succeeded(await stripe.createPaymentMethod({ elements })).paymentMethod.id;
    }

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (sent) return;
      sent = true;
      problem.hidden = true;
      busy(button, true, "Your payment is being processed…");
      try {
        send(chosen() === "stripe" ? await tokenOfCard() : null);
      } catch (failure) {
        sent = false;
        busy(button, false);
        say(wordsOf(failure));
      }
    });
  }

  /** Stripe resolves with { error } where its customer can do something, and throws at a wrong use of it. */
  function succeeded(result) {
    if (!result.error) return result;
    const { type, message } = result.error;
    throw FOR_PEOPLE.includes(type) && message ? new Told(message) : new Error(`${type}: ${message}`);
  }

  function wordsOf(failure) {
    return failure instanceof Told ? failure.message : BROKEN;
  }

  // Asks until the state is another, less often after a while; then goes where the server sends the customer.
  function wait(told) {
    const { path, wait: place } = told.dataset;
    const unsettled = place === "return" ? ["waiting", "action"] : ["waiting"];
    let waits = 0;
    async function ask() {
      let state = "waiting";
      try {
        const answer = await fetch(`${path}/status`, { cache: "no-store" });
        if (answer.ok) state = (await answer.json()).state;
      } catch {
        // Offline for a moment: the next question may be answered.
      }
      if (!unsettled.includes(state)) {
        window.location.replace(`${path}/next`);
        return;
      }
      waits += 1;
      window.setTimeout(ask, waits < SHORT_WAITS ? WAIT_MS : WAIT_LONG_MS);
    }
    window.setTimeout(ask, WAIT_MS / 2);
  }

  function act(form, start) {
    const button = form.querySelector("button");
    let running = false;
    async function run() {
      if (running) return;
      running = true;
      busy(button, true);
      try {
        await start();
      } catch (failure) {
        say(wordsOf(failure));
      }
      running = false;
      busy(button, false);
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    if ("atOnce" in form.dataset) run();
  }

  function openRazorpay(form) {
    if (!window.Razorpay) throw new Told(AWAY);
    const { orderId, keyId, amount, currency } = JSON.parse(form.dataset.razorpay);
    const { shop, return: back } = form.dataset;
    // What came of it is posted to callback_url, as well where the processor can't open a frame; redirect: also a failure.
    new window.Razorpay({
      key: keyId,
      order_id: orderId,
      amount,
      currency,
      name: shop,
      callback_url: back,
      redirect: true,
      modal: { ondismiss: () => say(CLOSED) },
    }).open();
  }

  async function confirmAtBank(form) {
    if (!window.Stripe) throw new Told(AWAY);
    const stripe = window.Stripe(form.dataset.key);
    const { error } = await stripe.handleNextAction({ clientSecret: form.dataset.confirm });
    if (NOT_REACHED.includes(error?.type)) throw new Told(NO_BANK);
    // Confirmed or refused: what the bank said is asked of the processor.
    window.location.assign(`${form.dataset.return}?from=script`);
  }

  const payForm = document.querySelector("form[data-pay]");
  const razorpayForm = document.querySelector("form[data-razorpay]");
  const confirmForm = document.querySelector("form[data-confirm]");
  const waiting = document.querySelector("[data-wait]");
  if (payForm) pay(payForm);
  if (razorpayForm) act(razorpayForm, async () => openRazorpay(razorpayForm));
  if (confirmForm) act(confirmForm, () => confirmAtBank(confirmForm));
  if (waiting) wait(waiting);
})();
