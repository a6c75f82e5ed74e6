// In the frame of the simulated Razorpay checkout: pays by the page's own form, and tells the page around it what came of it.
"use strict";

(() => {
  const form = document.querySelector("form");
  const tell = (what) => window.parent.postMessage(what, "*");

  document.getElementById("close").addEventListener("click", () => tell({ closed: true }));
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") tell({ closed: true });
  });
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, event.submitter));
    const answer = await fetch(window.location.href, { method: "POST", body });
    tell(await answer.json());
  });
})();
