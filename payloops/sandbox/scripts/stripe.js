// Stripe.js, simulated: the calls that a checkout page makes, with Stripe's documented test payment methods to choose from.
// As the real one, it throws at a wrong use of it (IntegrationError), and resolves with { error } where the customer can mend it.
"use strict";

(() => {
  const origin = new URL(document.currentScript.src).origin;
  const METHODS = [
    ["pm_card_visa", "Succeeds"],
    ["pm_card_visa_chargeDeclined", "Is declined"],
    ["pm_card_visa_chargeDeclinedInsufficientFunds", "Has insufficient funds"],
    ["pm_card_threeDSecure2Required", "Asks for 3-D Secure"],
    ["incorrect_number", "Has a wrong number"],
  ];
  const THEMES = ["stripe", "night", "flat"];
  const OPTIONS = ["mode", "amount", "currency", "paymentMethodCreation", "appearance", "locale", "clientSecret"];
  const EVENTS = ["ready", "change", "focus", "blur", "escape", "loaderstart", "loaderror"];
  // Twelve digits is the most that Stripe takes in any currency (IDR).
  const AMOUNT_MAX = 999999999999;

  class IntegrationError extends Error {
    name = "IntegrationError";
  }

  function must(holds, text) {
    if (!holds) throw new IntegrationError(text);
  }

  function checkOptions(options) {
    must(options && typeof options === "object", "elements() wants an object of options.");
    for (const name of Object.keys(options)) {
      must(OPTIONS.includes(name), `Unrecognized elements() parameter: ${name}.`);
    }
    const { mode, amount, currency, clientSecret, appearance, paymentMethodCreation } = options;
    must((mode === undefined) !== (clientSecret === undefined), "elements() takes either a mode or a clientSecret.");
    must(clientSecret === undefined || isSecret(clientSecret), "Invalid value for elements(): clientSecret.");
    if (mode !== undefined) {
      must(["payment", "setup", "subscription"].includes(mode), "Invalid value for elements(): mode.");
      must(typeof currency === "string" && /^[a-z]{3}$/.test(currency), "Invalid value for elements(): currency.");
      const whole = Number.isInteger(amount) && amount > 0 && amount <= AMOUNT_MAX;
      must(mode === "setup" || whole, `Invalid value for elements(): amount must be from 1 to ${AMOUNT_MAX}.`);
    }
    must(!appearance || THEMES.includes(appearance.theme ?? "stripe"), "Invalid value for elements(): appearance.theme.");
    must([undefined, "manual"].includes(paymentMethodCreation), "Invalid value for elements(): paymentMethodCreation.");
  }

  function isSecret(text) {
    return typeof text === "string" && /^(pi|seti)_[A-Za-z0-9]+_secret_[A-Za-z0-9]+$/.test(text);
  }

  function drawn() {
    const form = document.createElement("fieldset");
    form.className = "choice";
    const legend = document.createElement("legend");
    legend.textContent = "Test card";
    form.append(legend);
    METHODS.forEach(([name, label], place) => {
      const row = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "simulated_card", value: name, defaultChecked: place === 0 });
      row.append(input, ` ${label}`);
      form.append(row);
    });
    return form;
  }

  class PaymentElement {
    form = null;
    #listeners = [];

    mount(target) {
      const holder = typeof target === "string" ? document.querySelector(target) : target;
      must(holder instanceof Element && holder.isConnected, "The selector you specified applies to no DOM elements.");
      this.form = drawn();
      holder.replaceChildren(this.form);
      this.form.addEventListener("change", () => this.#tell("change"));
      window.setTimeout(() => this.#tell("ready"));
    }

    unmount() {
      this.form?.remove();
      this.form = null;
    }

    on(event, listener) {
      must(EVENTS.includes(event), `${event} is no event of a payment Element.`);
      must(typeof listener === "function", "on() wants a function.");
      this.#listeners.push([event, listener]);
      return this;
    }

    get chosen() {
      must(this.form?.isConnected, "Elements are not mounted: mount the payment Element before.");
      return this.form.querySelector(":checked")?.value;
    }

    #tell(event) {
      for (const [name, listener] of this.#listeners) if (name === event) listener({ elementType: "payment" });
    }
  }

  class Elements {
    payment = null;
    submitted = null;

    constructor(options) {
      checkOptions(options);
      this.options = options;
    }

    create(type) {
      must(type === "payment", `This simulator has no ${type} Element.`);
      must(!this.payment, "Can only create one Element of type payment.");
      this.payment = new PaymentElement();
      return this.payment;
    }

    getElement(type) {
      return type === "payment" ? this.payment : null;
    }

    async submit() {
      must(this.payment, "elements.submit() needs a payment Element.");
      this.submitted = this.payment.chosen;
      if (this.submitted) return {};
      return { error: { type: "validation_error", code: "incomplete_payment_details", message: "Choose a card." } };
    }
  }

  window.Stripe = function Stripe(key) {
    must(typeof key === "string" && key !== "", "Please call Stripe() with your publishable key.");
    must(!/^[sr]k_/.test(key), "You should not use your secret key with Stripe.js.");
    must(/^pk_test_\w+$/.test(key), "A publishable key of test mode is needed, like pk_test_….");
    return {
      elements: (options) => new Elements(options),

      async createPaymentMethod(options) {
        const elements = options?.elements;
        must(elements instanceof Elements, "createPaymentMethod() wants { elements }.");
        must(elements.options.paymentMethodCreation === "manual", 'Elements need paymentMethodCreation: "manual".');
        must(elements.submitted, "elements.submit() must be called before stripe.createPaymentMethod().");
        must(elements.submitted === elements.payment.chosen, "The details changed after elements.submit().");
        if (elements.submitted === "incorrect_number") {
          return { error: { type: "card_error", code: "incorrect_number", message: "Your card number is incorrect." } };
        }
        return { paymentMethod: { id: elements.submitted, object: "payment_method", type: "card" } };
      },

      // Stripe shows the bank's page in a frame; this one is opened beside, and is over when it is closed.
      async handleNextAction(options) {
        must(isSecret(options?.clientSecret), "handleNextAction() wants the clientSecret of a PaymentIntent.");
        const { clientSecret } = options;
        const intent = clientSecret.split("_secret_")[0];
        const page = `${origin}/_sandbox/3ds/${intent}?client_secret=${encodeURIComponent(clientSecret)}`;
        const opened = window.open(page);
        if (!opened) {
          return { error: { type: "api_error", message: "The browser did not let your bank's page open." } };
        }
        return new Promise((resolve) => {
          const timer = window.setInterval(() => {
            if (!opened.closed) return;
            window.clearInterval(timer);
            resolve({ paymentIntent: { id: intent, object: "payment_intent" } });
          }, 200);
        });
      },
    };
  };
})();
