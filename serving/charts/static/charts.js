// Shows the tooltip of a chart's mark under the pointer and the focus; arrow keys lead from mark to mark.
// Without it, every mark still has its title.
(function () {
  "use strict";
  var tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");  // the mark has the same text as its name
  document.body.appendChild(tip);

  function markOf(event) {
    return event.target instanceof Element ? event.target.closest(".chart .mark") : null;
  }

  function show(mark, x, y) {
    var title = mark.querySelector("title");
    if (title) {  // the browser's own tooltip would show beside this one
      mark.setAttribute("aria-label", title.textContent);
      title.remove();
    }
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    var left = Math.min(Math.max(x - tip.offsetWidth / 2, 8), document.documentElement.clientWidth - tip.offsetWidth - 8);
    var above = y - tip.offsetHeight - 10;
    tip.style.left = Math.max(left, 8) + "px";
    tip.style.top = (above < 4 ? y + 18 : above) + "px";
  }

  function hide() { tip.hidden = true; }

  document.addEventListener("pointerover", function (event) {
    var mark = markOf(event);
    if (mark) { show(mark, event.clientX, event.clientY); } else { hide(); }
  });
  document.addEventListener("pointerdown", function (event) {
    var mark = markOf(event);
    if (mark) { show(mark, event.clientX, event.clientY); } else { hide(); }
  });
  function follow() {
    var mark = document.activeElement;
    if (!mark.matches(".chart .mark:focus-visible")) { hide(); return; }
    var box = mark.getBoundingClientRect();
    show(mark, box.left + box.width / 2, box.top);
  }

  document.addEventListener("focusin", follow);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", follow, true);
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape") { hide(); return; }
    var mark = markOf(event);
    if (!mark) { return; }
    var marks = Array.from(mark.closest(".chart").querySelectorAll(".mark"));
    var place = marks.indexOf(mark);
    var next = {
      ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1,
      Home: 0, End: marks.length - 1
    }[event.key];
    if (next === undefined) { return; }
    event.preventDefault();
    next = marks[Math.min(Math.max(next, 0), marks.length - 1)];
    if (mark.getAttribute("tabindex") === "0") { mark.setAttribute("tabindex", "-1"); }
    if (next.hasAttribute("tabindex")) { next.setAttribute("tabindex", "0"); }
    next.focus();
  });
}());
