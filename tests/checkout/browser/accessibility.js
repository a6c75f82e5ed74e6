// What a page does against WCAG 2.2 (AA) that a program can see: a list of sentences, empty when there is nothing.
() => {
  const problems = [];
  const must = (holds, text) => { if (!holds) problems.push(text); };
  const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const described = (element) => element.outerHTML.slice(0, 90);

  // --- the document
  must(document.documentElement.lang !== "", "3.1.1: the page names no language");
  must(document.title.trim() !== "", "2.4.2: the page has no title");
  must(document.querySelectorAll("h1").length === 1, "there is not exactly one h1");
  must(document.querySelectorAll("main").length === 1, "there is not exactly one main");
  const viewport = document.querySelector("meta[name=viewport]")?.content ?? "";
  must(viewport && !/user-scalable=no|maximum-scale/.test(viewport), "1.4.4: the page can't be zoomed");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  must(new Set(ids).size === ids.length, `an id is used twice: ${ids}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1,h2,h3,h4")) {
    must(Number(heading.tagName[1]) <= level + 1, `a heading skips a level: ${described(heading)}`);
    level = Number(heading.tagName[1]);
  }

  // --- names and roles
  const nameOf = (element) =>
    (element.getAttribute("aria-label") ?? [...(element.labels ?? [])].map((label) => label.textContent).join(" ")).trim() ||
    (element.matches("a,button") ? element.textContent.trim() : "");
  const controls = [...document.querySelectorAll("a,button,input,select,textarea,[tabindex]")].filter(
    (element) => shown(element) && element.type !== "hidden",
  );
  for (const control of controls.filter((element) => element.matches("a,button,input,select,textarea"))) {
    must(nameOf(control) !== "", `4.1.2: no name: ${described(control)}`);
    const target = (control.labels?.[0] ?? control).getBoundingClientRect();
    must(target.height >= 24 && target.width >= 24, `2.5.8: smaller than 24 px: ${described(control)}`);
  }
  for (const control of controls) must(control.tabIndex <= 0, `2.4.3: an order of its own: ${described(control)}`);
  for (const group of document.querySelectorAll("fieldset")) {
    must(group.querySelector("legend")?.textContent.trim(), `1.3.1: a group without a name: ${described(group)}`);
  }
  for (const radio of document.querySelectorAll("input[type=radio]")) {
    if (shown(radio)) must(radio.closest("fieldset"), `1.3.1: a choice without its question: ${described(radio)}`);
  }
  for (const table of document.querySelectorAll("table")) {
    must(table.caption, "1.3.1: a table without a caption");
    for (const head of table.querySelectorAll("th")) must(head.scope, `1.3.1: a header of nothing: ${described(head)}`);
  }
  for (const told of document.querySelectorAll(".problem,.busy,.done")) {
    must(["alert", "status"].includes(told.getAttribute("role")), `4.1.3: is not announced: ${described(told)}`);
  }

  // --- colours
  const rgba = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
    return { red, green, blue, alpha };
  };
  const over = (front, back) => {
    const mix = (name) => front[name] * front.alpha + back[name] * (1 - front.alpha);
    return { red: mix("red"), green: mix("green"), blue: mix("blue"), alpha: 1 };
  };
  const backOf = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((back, front) => over(front, back), { red: 255, green: 255, blue: 255, alpha: 1 });
  };
  const luminance = ({ red, green, blue }) => {
    const [r, g, b] = [red, green, blue].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const element = words.currentNode.parentElement;
    if (!words.currentNode.textContent.trim() || !shown(element) || element.closest(".unseen,noscript,[aria-disabled=true]")) continue;
    must(element.closest("header,main"), `1.3.1: outside of the landmarks: ${described(element)}`);
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const back = backOf(element);
    const found = contrast(over(rgba(style.color), back), back);
    must(found >= least, `1.4.3: contrast ${found.toFixed(2)}: ${described(element)}`);
    must(size >= 12, `text of ${size} px: ${described(element)}`);
  }
  for (const row of document.querySelectorAll(".choice label")) {
    if (!shown(row)) continue;
    const found = contrast(rgba(getComputedStyle(row).borderTopColor), backOf(row.parentElement));
    must(found >= 3, `1.4.11: contrast of a border ${found.toFixed(2)}: ${described(row)}`);
  }
  for (const control of controls.filter((element) => element.matches("a,button,input"))) {
    control.focus({ focusVisible: true });
    const marked = control.matches(".choice input") ? control.closest("label") : control;
    const style = getComputedStyle(marked);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    must(seen, `2.4.7: the focus can't be seen: ${described(control)}`);
    if (!seen) continue;
    const found = contrast(rgba(style.outlineColor), backOf(marked.parentElement));
    must(found >= 3, `1.4.11: contrast of the focus ${found.toFixed(2)}: ${described(control)}`);
  }
  document.activeElement?.blur();

  // --- room
  const wide = document.documentElement.scrollWidth;
  must(wide <= window.innerWidth, `1.4.10: ${wide} px wide in a window of ${window.innerWidth} px`);
  return problems;
}
