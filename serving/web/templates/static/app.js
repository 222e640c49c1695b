// Makes the pages quicker to use. Every page is complete without it.
(function () {
  "use strict";

  function fill(place, address) {
    place.setAttribute("aria-busy", "true");
    place.dataset.asked = address;
    return fetch(address, {headers: {"X-Part": "1"}, credentials: "same-origin"})
      .then(function (answer) { return answer.text(); })
      .then(function (text) {
        if (place.dataset.asked !== address) { return; }  // a late answer to an older request
        var parsed = new DOMParser().parseFromString(text, "text/html");
        place.replaceChildren.apply(place, Array.from(parsed.body.childNodes));
        place.removeAttribute("aria-busy");
      })
      .catch(function () { place.removeAttribute("aria-busy"); });
  }

  document.querySelectorAll("[data-submits]").forEach(function (select) {
    select.addEventListener("change", function () { select.form.submit(); });
  });
  document.querySelectorAll("[data-loads]").forEach(function (place) { fill(place, place.dataset.part); });
  document.querySelectorAll("form[data-fills]").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      var button = form.querySelector("button");
      var query = new URLSearchParams(new FormData(form)).toString();
      button.disabled = true;
      fill(document.querySelector(form.dataset.fills), form.getAttribute("action") + "?" + query)
        .then(function () { button.disabled = false; });
    });
  });

  var shown = document.body.dataset.newest, newer = document.getElementById("newer");
  if (shown && newer) {
    setInterval(function () {
      if (document.hidden || !newer.hidden) { return; }
      fetch("/newest", {headers: {"X-Part": "1"}, credentials: "same-origin"})
        .then(function (answer) { return answer.ok ? answer.text() : shown; })
        .then(function (day) { newer.hidden = day <= shown; })
        .catch(function () {});  // the server has stopped: the page stays as it is
    }, 60000);
  }

  var form = document.getElementById("slider");
  if (!form) { return; }
  var slider = document.getElementById("budget"), amount = document.getElementById("amount");
  var marker = document.getElementById("marker"), line = document.getElementById("marker-line");
  var scale = marker.ownerSVGElement.dataset;
  var curve = [{budget: 0, gain: 0}].concat(JSON.parse(form.dataset.curve));
  var waiting = 0, newest = 0;
  slider.hidden = false;
  form.querySelector("button").hidden = true;

  function gainAt(budget) {
    for (var n = 1; n < curve.length; n += 1) {
      if (budget <= curve[n].budget) {
        var a = curve[n - 1], b = curve[n];
        return a.gain + (b.gain - a.gain) * (budget - a.budget) / ((b.budget - a.budget) || 1);
      }
    }
    return curve[curve.length - 1].gain;
  }

  function place(budget, gain) {
    var x = +scale.left + scale.inner * Math.min(budget, scale.last) / scale.last;
    var y = scale.base - (scale.base - scale.top) * (gain - scale.low) / (scale.high - scale.low);
    marker.setAttribute("cx", x.toFixed(1));
    marker.setAttribute("cy", y.toFixed(1));
    line.setAttribute("d", "M" + x.toFixed(1) + " " + scale.top + "V" + scale.base);
  }

  function ask(budget) {
    var query = new URLSearchParams({plan: form.elements.plan.value, budget: String(budget)}).toString();
    var mine = newest += 1;
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      fill(document.getElementById("at"), form.dataset.part + "?" + query).then(function () {
        var figures = document.getElementById("figures");
        if (mine !== newest || !figures) { return; }
        place(budget, +figures.dataset.gain);
        history.replaceState(null, "", "/plan?" + query);
      });
    }, 150);
  }

  slider.addEventListener("input", function () {
    var budget = +slider.value;
    amount.value = slider.value;
    place(budget, gainAt(budget));
    ask(budget);
  });
  amount.addEventListener("input", function () {
    var budget = +amount.value;
    if (amount.value === "" || !(budget >= 0)) { return; }
    slider.value = amount.value;
    place(budget, gainAt(budget));
    ask(budget);
  });
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    ask(+amount.value);
  });
}());
